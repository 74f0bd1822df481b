/** Curves of both rails over the last minute: lag, delay, data and folding. */
import { memo, useEffect, useRef } from 'react'
import uPlot from 'uplot'
import type { Rail } from './rail.ts'

const SAMPLE_MS = 250
const SAMPLES = 240
const HEIGHT = 120

const metrics = ['Lag, events', 'Delay, ms', 'Data, kB/s', 'Folded, events'] as const

type Series = (number | null)[]

/** A colour of the style sheet, as it is now: canvases know nothing of dark mode. */
const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

function plotIn(parent: HTMLElement, title: string): uPlot {
  const axis = {
    stroke: () => colour('--soft'),
    grid: { stroke: () => colour('--line'), width: 1 },
    ticks: { show: false },
  }
  return new uPlot(
    {
      title,
      width: parent.clientWidth || 280,
      height: HEIGHT,
      cursor: { show: false },
      legend: { show: false },
      scales: { x: { time: false }, y: { range: (_, __, max) => [0, Math.max(1, max)] } },
      axes: [
        { ...axis, values: (_, values) => values.map(value => `${value} s`) },
        { ...axis, size: 56 },
      ],
      series: [
        {},
        { label: 'Rail A', stroke: () => colour('--a'), width: 2 },
        { label: 'Rail B', stroke: () => colour('--b'), width: 2, dash: [6, 4] },
      ],
    },
    [[], [], []],
    parent,
  )
}

export const Plots = memo(function Plots({ rails }: { rails: readonly [Rail, Rail] }) {
  const parent = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const cells = [...parent.current!.children] as HTMLElement[]
    const plots = metrics.map((title, i) => plotIn(cells[i]!, title))
    const times: number[] = []
    const values = metrics.map(() => rails.map(() => [] as Series))
    const before = rails.map(({ client }) => client.quality.current.bytes)
    const began = Date.now()
    // Curves that nobody sees are not drawn.
    let seen = false
    const draw = () => {
      if (!seen) return
      for (const [m, plot] of plots.entries()) plot.setData([times, ...values[m]!] as uPlot.AlignedData)
    }
    const timer = setInterval(() => {
      const head = Math.max(...rails.map(({ ledger }) => ledger.seq))
      times.push(Math.round((Date.now() - began) / 100) / 10)
      for (const [i, { client, ledger }] of rails.entries()) {
        const { bytes, folded, delayMs, lastEventAgeMs = Infinity } = client.quality.current
        const kilobytes = ((bytes - before[i]!) / 1000) * (1000 / SAMPLE_MS)
        before[i] = bytes
        const now = [head - ledger.seq, lastEventAgeMs < 3000 ? (delayMs ?? null) : null, kilobytes, folded]
        for (const [m, value] of now.entries()) values[m]![i]!.push(value)
      }
      for (const series of [times, ...values.flat()]) if (series.length > SAMPLES) series.shift()
      draw()
    }, SAMPLE_MS)
    const fit = new ResizeObserver(() => {
      for (const [i, plot] of plots.entries()) plot.setSize({ width: cells[i]!.clientWidth, height: HEIGHT })
    })
    for (const cell of cells) fit.observe(cell)
    const look = new IntersectionObserver(([entry]) => {
      seen = entry!.isIntersecting
      draw()
    })
    look.observe(parent.current!)
    return () => {
      clearInterval(timer)
      fit.disconnect()
      look.disconnect()
      for (const plot of plots) plot.destroy()
    }
  }, [rails])
  return (
    <div className="plots" ref={parent} aria-hidden="true">
      {metrics.map(title => (
        <div key={title} />
      ))}
    </div>
  )
})
