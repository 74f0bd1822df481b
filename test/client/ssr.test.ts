/** Rendering on a server, where there is no page: no globals of jsdom here. */
import { readFileSync } from 'node:fs'
import { createElement as h } from 'react'
import { renderToString } from 'react-dom/server'
import t from 'tap'
import ts from 'typescript'
import { createClient } from '../../client/index.ts'
import { useAIStream, useRun, useSession } from '../../client/react/index.ts'

t.test('with a relative URL the hooks render an empty view and send nothing', async t => {
  const requests: unknown[] = []
  const client = createClient({
    url: '/api',
    fetch: async input => {
      requests.push(input)
      throw new Error('no request is expected')
    },
  })
  function Page() {
    const { messages, status, isLoading, connection } = useSession(client, 'room', { onEvent: () => {} })
    const run = useRun(client, 'room', 'r1')
    const chat = useAIStream({ url: '/api', agent: 'echo' })
    const shown = [messages.length, status, isLoading, connection.state, run.text, chat.connectionState]
    return h('p', null, JSON.stringify(shown))
  }
  t.equal(renderToString(h(Page)).replaceAll('&quot;', '"'), '<p>[0,"idle",false,"idle","","idle"]</p>')
  await new Promise(resolve => setImmediate(resolve))
  t.same(requests, [])
  await t.rejects(client.agents(), TypeError, 'a request needs the page, or an absolute URL')
  t.throws(() => createClient({ url: 'not a url' }), TypeError)
})

t.test('the entry of the hooks is marked for bundlers that render on servers', async t => {
  const source = readFileSync(new URL('../../client/react/index.ts', import.meta.url), 'utf8')
  const { outputText } = ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.ESNext } })
  t.match(outputText, /^'use client';/)
})
