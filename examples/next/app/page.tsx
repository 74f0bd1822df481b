import { Chat } from './chat'

export default function Page() {
  return (
    <main>
      <h1>Ask the documentation</h1>
      <Chat sessionId="demo" />
    </main>
  )
}
