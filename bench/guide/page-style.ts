/** Peers have so many colours; more of them begin again. */
export const PEER_COLOURS = 4

const kinds = ['sse', 'websocket', 'long-poll', 'floor', 'peer-1', 'peer-2', 'peer-3', 'peer-4']

/** How the page looks: light and dark, on a phone and on a wide screen. */
export const style = `
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --panel: #fff; --line: #d9dde5; --text: #171a21; --soft: #545c6b; --accent: #0b5cad;
  --good: #17703c; --bad: #b3261e; --bad-ground: #fdecea;
  --sse: #1464c0; --websocket: #c2500a; --long-poll: #147a5c; --floor: #6b7280;
  --peer-1: #7a3fb0; --peer-2: #b0286f; --peer-3: #8a6100; --peer-4: #0e7490;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #101319; --panel: #191d25; --line: #363d4b; --text: #eceff4; --soft: #a5adbb; --accent: #7cb8f5;
    --good: #6fd08c; --bad: #ff8f85; --bad-ground: #3a1d1c;
    --sse: #6db1ff; --websocket: #ff9d5c; --long-poll: #4fd1a5; --floor: #98a1b0;
    --peer-1: #c69bf0; --peer-2: #f48fc0; --peer-3: #e3b341; --peer-4: #5cc8e0;
  }
}
* { box-sizing: border-box; }
body {
  max-width: 78rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 4rem;
  background: var(--ground); color: var(--text); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1.1rem; margin: 0 0 .35rem; }
p, ul { margin: .5rem 0; max-width: 75ch; }
ul { padding-left: 1.2rem; }
a { color: var(--accent); }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; }
pre { padding: .75rem; background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; overflow-x: auto; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.soft { color: var(--soft); }
.verdict { padding: .75rem 1rem; border-radius: .5rem; border: 1px solid var(--line); border-left: .4rem solid var(--good); background: var(--panel); }
.verdict.invalid { border-left-color: var(--bad); background: var(--bad-ground); }
.verdict.invalid strong, .bad { color: var(--bad); font-weight: 650; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; list-style: none; max-width: none; }
.card { margin: 1rem 0; padding: 1rem; background: var(--panel); border: 1px solid var(--line); border-radius: .75rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.25rem; margin-top: 1rem; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; margin-bottom: .35rem; }
svg { display: block; width: 100%; max-width: 36rem; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--soft); }
svg text.value { fill: var(--text); font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg path { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
svg rect.paler { opacity: .45; }
${kinds
  .map(
    kind =>
      `svg path.${kind} { stroke: var(--${kind}); } svg rect.${kind}, svg circle.${kind} { fill: var(--${kind}); } .key.${kind}::before { border-color: var(--${kind}); }`,
  )
  .join('\n')}
svg path.websocket, svg path.dashed { stroke-dasharray: 7 3; }
svg path.long-poll { stroke-dasharray: 2 3; }
.key.websocket::before, .key.dashed::before { border-top-style: dashed; }
.key.long-poll::before { border-top-style: dotted; }
svg path.floor { stroke-width: 1.4; }
.keys { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .85rem; color: var(--soft); padding: 0; margin: .25rem 0 0; list-style: none; }
.key::before { content: ""; display: inline-block; width: 1.6rem; margin-right: .4rem; vertical-align: middle; border-top: 3px solid; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; overflow-wrap: normal; }
caption { text-align: left; font-weight: 600; padding-bottom: .35rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--soft); white-space: nowrap; }
tbody th { min-width: 9rem; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
summary { cursor: pointer; padding: .35rem 0; color: var(--accent); }
@media (max-width: 40rem) {
  table { font-size: .75rem; }
  th, td { padding-right: .35rem; }
  thead th { white-space: normal; }
  tbody th { min-width: 5rem; }
}
@media print { .scroll { overflow: visible; } }
`
