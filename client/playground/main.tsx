/** The page at `/`: one session over two rails, side by side. */
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import 'uplot/dist/uPlot.min.css'
import './style.css'
import { newId } from '../index.ts'
import { App } from './app.tsx'

/** The session's id is in the hash: a reload resumes it, and another tab joins it. */
const sessionId = /^#([A-Za-z0-9][\w.:-]{0,127})$/.exec(location.hash)?.[1] ?? newId()
history.replaceState(null, '', `#${sessionId}`)
addEventListener('hashchange', () => location.reload())

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App sessionId={sessionId} />
  </StrictMode>,
)
