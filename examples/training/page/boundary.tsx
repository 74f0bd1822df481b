/** What a network has learned: its guess at every place, and the points that it learns from. */
import { useEffect, useRef, useState } from 'react'
import { colourOf } from './colours.ts'
import type { Training } from './state.ts'

/** The side of the picture, in pixels of the canvas. */
const SIDE = 480

export function Boundary({ training }: { training: Training }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const { boundary, points } = training
  const [dark, setDark] = useState(() => matchMedia('(prefers-color-scheme: dark)').matches)
  useEffect(() => {
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    const changed = () => setDark(scheme.matches)
    scheme.addEventListener('change', changed)
    return () => scheme.removeEventListener('change', changed)
  }, [])

  // biome-ignore lint/correctness/useExhaustiveDependencies: another scheme has other colours
  useEffect(() => {
    const element = canvas.current!
    const context = element.getContext('2d')!
    const colours = ['--spiral-0', '--spiral-1'].map(name => colourOf(element.parentElement!, name))
    context.clearRect(0, 0, SIDE, SIDE)
    if (boundary) drawGuesses(context, boundary, colours.map(partsOf) as [Rgb, Rgb])
    const edge = colourOf(element.parentElement!, '--panel')
    for (const [x, y, label] of points) {
      context.beginPath()
      const [left, top] = [((x + 1) / 2) * SIDE, ((1 - y) / 2) * SIDE]
      // Not by colour alone: one spiral has squares.
      if (label === 0) context.arc(left, top, 5, 0, 2 * Math.PI)
      else context.rect(left - 4.5, top - 4.5, 9, 9)
      context.fillStyle = colours[label]!
      context.fill()
      context.lineWidth = 1.5
      context.strokeStyle = edge
      context.stroke()
    }
  }, [boundary, points, dark])

  return (
    <canvas
      ref={canvas}
      width={SIDE}
      height={SIDE}
      className="boundary"
      role="img"
      aria-label={
        boundary
          ? `What the network has learned of the two spirals after ${boundary.step} steps`
          : 'The points of the two spirals'
      }
    />
  )
}

type Rgb = [number, number, number]

const partsOf = (colour: string): Rgb => (colour.match(/\d+(\.\d+)?/g) ?? []).slice(0, 3).map(Number) as Rgb

function drawGuesses(
  context: CanvasRenderingContext2D,
  { side, guesses }: { side: number; guesses: string },
  [none, all]: [Rgb, Rgb],
): void {
  const bytes = Uint8Array.from(atob(guesses), letter => letter.charCodeAt(0))
  const image = new ImageData(side, side)
  bytes.forEach((guess, i) => {
    const part = guess / 255
    for (const channel of [0, 1, 2] as const) {
      image.data[i * 4 + channel] = none[channel] * (1 - part) + all[channel] * part
    }
    // Sure guesses are strong, the boundary is pale.
    image.data[i * 4 + 3] = 30 + 120 * Math.abs(part * 2 - 1)
  })
  const small = new OffscreenCanvas(side, side)
  small.getContext('2d')!.putImageData(image, 0, 0)
  context.drawImage(small, 0, 0, SIDE, SIDE)
}
