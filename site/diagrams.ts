/** Diagrams in Mermaid, drawn as SVG while the site is built, in the colours of the theme. */
import { renderMermaidSVG } from 'beautiful-mermaid'

interface Fences {
  renderer: { rules: { fence?: (...args: never[]) => string } }
}

/** A plugin of markdown-it that draws blocks of the language `mermaid`. */
export function diagrams(md: object): void {
  const { rules } = (md as Fences).renderer
  const otherwise = rules.fence as (
    tokens: { info: string; content: string }[],
    index: number,
    ...rest: unknown[]
  ) => string
  rules.fence = ((tokens: { info: string; content: string }[], index: number, ...rest: unknown[]) => {
    const { info, content } = tokens[index] as { info: string; content: string }
    return info.trim() === 'mermaid' ? draw(content) : otherwise(tokens, index, ...rest)
  }) as never
}

function draw(code: string): string {
  const svg = renderMermaidSVG(code, {
    bg: 'var(--vp-c-bg)',
    fg: 'var(--vp-c-text-1)',
    line: 'var(--vp-c-text-3)',
    accent: 'var(--vp-c-brand-1)',
    muted: 'var(--vp-c-text-2)',
    surface: 'var(--vp-c-bg-soft)',
    border: 'var(--vp-c-border)',
    transparent: true,
  }).replaceAll(/@import[^;]*;/g, '')
  // Vue removes styles from its templates, and the drawing has its own.
  return `<div class="diagram" role="img" v-html="decodeURIComponent('${encodeURIComponent(svg).replaceAll("'", '%27')}')"></div>\n`
}
