/** Events as chunks of the AI SDK and back: nothing is lost, wherever the stream is cut, and both versions read it. */
import assert from 'node:assert/strict'
import { uiMessageChunkSchema as chunkSchemaV7 } from 'ai'
import { uiMessageChunkSchema as chunkSchemaV6, readUIMessageStream as readV6 } from 'ai-v6'
import fc from 'fast-check'
import t from 'tap'
import type { Chunk, Level } from '../../src/dialects/ai-sdk/chunks.ts'
import { v6Types } from '../../src/dialects/ai-sdk/chunks.ts'
import { decode, newDecodeState } from '../../src/dialects/ai-sdk/decode.ts'
import { encode, newEncodeState } from '../../src/dialects/ai-sdk/encode.ts'
import type { TwinrailEvent } from '../../src/protocol/index.ts'
import { saying, someRun } from '../fixtures/dialects.ts'

const levels: Level[] = ['v6', 'v7']

const chunksOf = (level: Level, events: readonly TwinrailEvent[]) => {
  const state = newEncodeState(level)
  return events.map(event => encode(state, event))
}

const decoded = (chunks: readonly Chunk[]) => {
  const state = newDecodeState()
  return chunks.flatMap(chunk => decode(state, chunk))
}

t.test('what is decoded says the same as the log', async t => {
  for (const level of levels) {
    fc.assert(
      fc.property(someRun, run => {
        assert.deepEqual(saying(decoded(chunksOf(level, run).flat())), saying(run))
      }),
      { numRuns: 200 },
    )
  }
  t.pass('for every run that was tried')
})

t.test('a new encoder that was given the same events goes on at any offset', async t => {
  fc.assert(
    fc.property(someRun, fc.nat(), (run, n) => {
      const cut = n % run.length
      const state = newEncodeState('v6')
      for (const event of run.slice(0, cut)) encode(state, event)
      const rest = run.slice(cut).map(event => encode(state, event))
      assert.deepEqual([...chunksOf('v6', run).slice(0, cut), ...rest], chunksOf('v6', run))
    }),
    { numRuns: 200 },
  )
  t.pass('for every run that was tried')
})

t.test('every chunk is one that the version knows', async t => {
  const schemas = { v6: await validatorOf(chunkSchemaV6), v7: await validatorOf(chunkSchemaV7) }
  await fc.assert(
    fc.asyncProperty(someRun, async run => {
      for (const level of levels) {
        for (const chunk of chunksOf(level, run).flat()) {
          const result = await schemas[level]({ ...chunk })
          assert.ok(result.success, `${level} refuses ${JSON.stringify(chunk)}`)
          if (level === 'v6' && !v6Types.has(chunk.type)) assert.match(chunk.type, /^data-/)
        }
      }
    }),
    { numRuns: 100 },
  )
  t.pass('for every run that was tried')
})

t.test('the reader of the SDK takes every run', async t => {
  await fc.assert(
    fc.asyncProperty(someRun, async run => {
      const chunks = chunksOf('v6', run).flat()
      const isFailed = run.at(-1)?.type === 'run.failed'
      let error: unknown
      let last: { parts: { type: string; text?: string }[] } | undefined
      const stream = new ReadableStream({
        start(controller) {
          for (const chunk of chunks) controller.enqueue(structuredClone(chunk))
          controller.close()
        },
      })
      for await (const message of readV6({
        stream,
        onError: (e: unknown) => {
          error = e
        },
      } as never))
        last = message as never
      assert.equal(error !== undefined, isFailed)
      const text = run
        .flatMap(({ type, data }) => (type === 'text.delta' ? [(data as { delta: string }).delta] : []))
        .join('')
      t.equal((last?.parts ?? []).flatMap(p => (p.type === 'text' ? [p.text] : [])).join(''), text)
    }),
    { numRuns: 100 },
  )
  t.pass('for every run that was tried')
})

async function validatorOf(schema: unknown) {
  const lazy = typeof schema === 'function' ? (schema as () => unknown)() : schema
  const { validate } = lazy as { validate(value: unknown): Promise<{ success: boolean }> }
  return validate
}
