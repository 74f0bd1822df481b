/** A page in jsdom, in which React draws what a hook returns. Import it before the hooks. */
import { JSDOM } from 'jsdom'
import { createElement as h, type ReactNode, StrictMode } from 'react'
import type { Test } from 'tap'

const { window } = new JSDOM('<!doctype html><div id="root"></div>', { pretendToBeVisual: true })
Object.assign(globalThis, {
  window,
  requestAnimationFrame: window.requestAnimationFrame,
  cancelAnimationFrame: window.cancelAnimationFrame,
})
for (const name of ['document', 'navigator'] as const)
  Object.defineProperty(globalThis, name, { value: window[name], configurable: true })
const { createRoot } = await import('react-dom/client')

/** Draws nothing; calls what a test wants to be called in a component. */
function Caller({ call }: { call: () => void }): ReactNode {
  call()
  return null
}

/** Mounts what `use` returns in StrictMode, and keeps every result. `update` draws again with another `use`. */
export function mount<T>(t: Test, use: () => T) {
  const seen: T[] = []
  const root = createRoot(window.document.createElement('div'))
  const update = (use: () => T) =>
    root.render(h(StrictMode, null, h(Caller, { call: () => void seen.push(use()) })))
  update(use)
  const unmount = () => root.unmount()
  t.teardown(unmount)
  return { seen, last: () => seen.at(-1)!, unmount, update }
}
