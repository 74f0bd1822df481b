/** Live plots of both transports: lag, delay, data and folding over the last minute. */
import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import type { ThrottledClient } from './throttled-client.ts'

const SAMPLE_MS = 250
const SAMPLES = 240
const HEIGHT = 120

const metrics = ['Lag, events', 'Delay, ms', 'Data, kB/s', 'Folded, events'] as const

type Series = (number | null)[]

/** A colour of the style sheet, as it is now: canvases know nothing of dark mode. */
const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

function plotIn(parent: HTMLElement, title: string, clients: readonly ThrottledClient[]): uPlot {
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
        { label: clients[0]!.name, stroke: () => colour('--accent'), width: 2 },
        { label: clients[1]!.name, stroke: () => colour('--warn'), width: 2, dash: [6, 4] },
      ],
    },
    [[], [], []],
    parent,
  )
}

export function Plots({ clients }: { clients: readonly ThrottledClient[] }) {
  const parent = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const cells = [...parent.current!.children] as HTMLElement[]
    const plots = metrics.map((title, i) => plotIn(cells[i]!, title, clients))
    const times: number[] = []
    const values = metrics.map(() => clients.map(() => [] as Series))
    const before = clients.map(({ client }) => client.quality.current.bytes)
    const began = Date.now()
    const timer = setInterval(() => {
      const head = Math.max(...clients.map(({ seq }) => seq))
      times.push(Math.round((Date.now() - began) / 100) / 10)
      for (const [i, { client, seq }] of clients.entries()) {
        const { bytes, folded, delayMs, lastEventAgeMs = Infinity } = client.quality.current
        const kilobytes = ((bytes - before[i]!) / 1000) * (1000 / SAMPLE_MS)
        before[i] = bytes
        const now = [head - seq, lastEventAgeMs < 3000 ? (delayMs ?? null) : null, kilobytes, folded]
        for (const [m, value] of now.entries()) values[m]![i]!.push(value)
      }
      for (const series of [times, ...values.flat()]) if (series.length > SAMPLES) series.shift()
      for (const [m, plot] of plots.entries()) plot.setData([times, ...values[m]!] as uPlot.AlignedData)
    }, SAMPLE_MS)
    const fit = new ResizeObserver(() => {
      for (const [i, plot] of plots.entries()) plot.setSize({ width: cells[i]!.clientWidth, height: HEIGHT })
    })
    for (const cell of cells) fit.observe(cell)
    return () => {
      clearInterval(timer)
      fit.disconnect()
      for (const plot of plots) plot.destroy()
    }
  }, [clients])
  return (
    <section className="panel" aria-label="Live plots of both rails">
      <p className="legend soft">
        {clients.map(({ name }, i) => (
          <span key={name} className={`key key-${i}`}>
            {name}
          </span>
        ))}
      </p>
      <div className="plots" ref={parent} aria-hidden="true">
        {metrics.map(title => (
          <div key={title} />
        ))}
      </div>
    </section>
  )
}
