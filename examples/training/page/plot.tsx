/** The curves of all trainings over their steps, drawn by uPlot. */
import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { colourOf, styleOf } from './colours.ts'
import type { Training } from './state.ts'

interface PlotProps {
  title: string
  trainings: readonly Training[]
  values(training: Training): readonly number[]
  /** The range of the axis. @default from the values, logarithmic */
  range?: [number, number]
  /** The last value in words. */
  format(value: number): string
}

const HEIGHT = 220

/** The axis of the steps is at least this long. */
const FIRST_STEPS = 50

export function Plot({ title, trainings, values, range, format }: PlotProps) {
  const frame = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(undefined)
  const data = useRef<uPlot.AlignedData>([[]])
  const numbers = trainings.map(({ number }) => number).join(' ')

  const length = Math.max(1, ...trainings.map(training => values(training).length))
  data.current = [
    Array.from({ length }, (_, i) => i + 1),
    ...trainings.map(training => {
      const known = values(training)
      return Array.from({ length }, (_, i) => known[i] ?? null)
    }),
  ]

  // Another set of curves, or other colours, is another plot.
  // biome-ignore lint/correctness/useExhaustiveDependencies: `range` and `format` of a plot never change
  useEffect(() => {
    const element = frame.current!
    const make = () => {
      plot.current?.destroy()
      const soft = colourOf(element, '--soft')
      const line = colourOf(element, '--line')
      const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } }
      plot.current = new uPlot(
        {
          width: element.clientWidth,
          height: HEIGHT,
          legend: { show: false },
          cursor: { drag: { x: false, y: false } },
          scales: {
            x: { time: false, range: (_, __, last) => [0, Math.max(FIRST_STEPS, last)] },
            y: range ? { range } : { distr: 3 },
          },
          axes: [
            { ...axis, space: 60, size: 30 },
            range
              ? { ...axis, size: 52, values: (_, ticks) => ticks.map(format) }
              : {
                  ...axis,
                  size: 52,
                  values: (_, ticks) => ticks.map(tick => (tick === null ? '' : String(tick))),
                },
          ],
          series: [
            {},
            ...(numbers === '' ? [] : numbers.split(' ')).map(number => {
              const { index, dash } = styleOf(Number(number))
              return {
                stroke: colourOf(element, `--curve-${index}`),
                width: 2,
                dash,
                points: { show: false },
              }
            }),
          ],
        },
        data.current,
        element,
      )
    }
    make()
    const resized = new ResizeObserver(() => {
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT })
    })
    resized.observe(element)
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', make)
    return () => {
      dark.removeEventListener('change', make)
      resized.disconnect()
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [numbers])

  useEffect(() => {
    plot.current?.setData(data.current)
  })

  const said = trainings.flatMap(training => {
    const last = values(training).at(-1)
    return last === undefined ? [] : [`training ${training.number} ${format(last)}`]
  })
  return (
    <figure className="plot">
      <figcaption>{title}</figcaption>
      <div ref={frame} role="img" aria-label={`${title} by step: ${said.join(', ') || 'nothing yet'}`} />
    </figure>
  )
}
