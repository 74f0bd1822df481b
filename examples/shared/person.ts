/** Who uses this tab: a name and a colour, which a reload keeps. A second tab is another person. */

const names = [
  'Ada',
  'Alan',
  'Barbara',
  'Donald',
  'Edsger',
  'Frances',
  'Grace',
  'Hedy',
  'John',
  'Katherine',
  'Leslie',
  'Margaret',
  'Niklaus',
  'Radia',
  'Tim',
  'Vint',
]

/** Dark enough for white text on them (4.5 : 1). */
const colours = ['#b3261e', '#8a5300', '#17703c', '#00696b', '#0b5cad', '#6a3fb5', '#a3237c', '#5b6270']

const pick = <T>(items: readonly T[]): T => items[Math.floor(Math.random() * items.length)]!

function kept(key: string, make: () => string): string {
  const value = sessionStorage.getItem(key) ?? make()
  sessionStorage.setItem(key, value)
  return value
}

export const person = {
  name: kept('name', () => pick(names)),
  colour: kept('colour', () => pick(colours)),
  /** Proves to the server that this is the same person as before. Nobody else knows it. */
  secret: kept('secret', () => crypto.randomUUID()),
}

export function rename(name: string): void {
  person.name = name
  sessionStorage.setItem('name', name)
}
