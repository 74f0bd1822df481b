/** What several parts of the page need from React. */
import { useCallback, useEffect, useRef, useState } from 'react'
import { wordsOf } from './api.ts'

/**
 * Calls `load` at once, and again `everyMs` after each answer and 5 s after a failure, while the page is visible. Returns
 * the newest answer, the newest error, and a function that loads now. A new `load` begins anew.
 */
export function usePolled<T>(
  load: (signal: AbortSignal) => Promise<T>,
  everyMs: number | ((value: T) => number),
): { value: T | undefined; error: unknown; reload: () => void } {
  const [state, setState] = useState<{ value?: T; error?: unknown }>({})
  const again = useRef(() => {})
  const pause = useRef(everyMs)
  pause.current = everyMs
  useEffect(() => {
    const leave = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    let isLoading = false
    const turn = async () => {
      clearTimeout(timer)
      if (isLoading || document.hidden) return
      isLoading = true
      let pauseMs = 5000
      try {
        const value = await load(leave.signal)
        pauseMs = typeof pause.current === 'number' ? pause.current : pause.current(value)
        if (!leave.signal.aborted) setState({ value })
      } catch (error) {
        if (!leave.signal.aborted) setState(before => ({ ...before, error }))
      }
      isLoading = false
      if (!leave.signal.aborted) timer = setTimeout(turn, pauseMs)
    }
    again.current = () => void turn()
    setState({})
    void turn()
    document.addEventListener('visibilitychange', turn)
    return () => {
      leave.abort()
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', turn)
    }
  }, [load])
  return { value: state.value, error: state.error, reload: useCallback(() => again.current(), []) }
}

/** An action of a button: whether it runs, and what went wrong the last time. */
export function useAction(): {
  busy: boolean
  problem: string
  run: (action: () => Promise<unknown>) => void
} {
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState('')
  const run = useCallback((action: () => Promise<unknown>) => {
    setBusy(true)
    setProblem('')
    action().then(
      () => setBusy(false),
      error => {
        setBusy(false)
        setProblem(wordsOf(error))
      },
    )
  }, [])
  return { busy, problem, run }
}
