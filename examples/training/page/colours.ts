/** How the curve of each training is drawn. Six colours, and another dash for each, for those who cannot tell the colours apart. */
import { SHOWN } from './state.ts'

const dashes = [[], [8, 4], [2, 3], [12, 4, 2, 4], [5, 5], [16, 4]]

export const styleOf = (number: number) => {
  const index = (number - 1) % SHOWN
  return { index, dash: dashes[index]! }
}

/** The computed colour of a variable, as a canvas needs it. */
export function colourOf(element: Element, variable: string): string {
  const probe = document.createElement('i')
  probe.style.color = `var(${variable})`
  element.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}
