/** Takes a document: dropped anywhere on the page, chosen, or a sample. Says what is wrong with one that it does not take. */
import { useEffect, useRef, useState } from 'react'
import { type Document, MAX_CHARS } from '../events.ts'
import { samples } from '../samples.ts'

interface DropProps {
  analyse: (document: Document) => void
}

/** UTF-8 has up to three bytes for a character that counts as one. */
const MAX_BYTES = 3 * MAX_CHARS

/** @throws Error with what to tell the user */
async function read(file: File): Promise<Document> {
  if (!/\.(txt|md|markdown)$/i.test(file.name) && !file.type.startsWith('text/')) {
    throw new Error(`${file.name} is not a text. Choose a .txt or .md file.`)
  }
  const tooLong = (size: string) =>
    new Error(
      `${file.name} is too long: ${size}. At most ${MAX_CHARS.toLocaleString('en')} characters are analysed.`,
    )
  // It is refused before it is read.
  if (file.size > MAX_BYTES) throw tooLong(`${Math.round(file.size / 1024).toLocaleString('en')} KiB`)
  const bytes = await file.arrayBuffer()
  const text = await Promise.resolve(bytes)
    .then(bytes => new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    .catch(() => {
      throw new Error(`${file.name} is not UTF-8. Save it as UTF-8, and try again.`)
    })
  if (text.length > MAX_CHARS) throw tooLong(`${text.length.toLocaleString('en')} characters`)
  if (text.trim() === '') throw new Error(`${file.name} is empty.`)
  return { name: file.name.slice(0, 200), text }
}

async function sample(file: string): Promise<Document> {
  const response = await fetch(`/samples/${file}`)
  if (!response.ok) throw new Error(`The sample ${file} could not be loaded: ${response.status}.`)
  return { name: file, text: await response.text() }
}

export function Drop({ analyse }: DropProps) {
  const [problem, setProblem] = useState('')
  const [isOver, setIsOver] = useState(false)
  const field = useRef<HTMLInputElement>(null)
  const take = (document: Promise<Document>) => {
    setProblem('')
    document.then(analyse, (error: Error) => setProblem(error.message))
  }
  const newest = useRef(take)
  newest.current = take

  useEffect(() => {
    const over = (event: DragEvent) => {
      event.preventDefault()
      setIsOver(true)
    }
    const left = (event: DragEvent) => {
      if (event.relatedTarget === null) setIsOver(false)
    }
    const dropped = (event: DragEvent) => {
      event.preventDefault()
      setIsOver(false)
      for (const file of event.dataTransfer?.files ?? []) newest.current(read(file))
    }
    window.addEventListener('dragover', over)
    window.addEventListener('dragleave', left)
    window.addEventListener('drop', dropped)
    return () => {
      window.removeEventListener('dragover', over)
      window.removeEventListener('dragleave', left)
      window.removeEventListener('drop', dropped)
    }
  }, [])

  return (
    <section className="drop" data-over={isOver || undefined} aria-label="New document">
      <p>Drop a .txt or .md file here</p>
      <input
        ref={field}
        type="file"
        accept=".txt,.md,.markdown,text/plain,text/markdown"
        multiple
        hidden
        aria-label="File"
        onChange={({ target }) => {
          for (const file of target.files ?? []) take(read(file))
          // The same file may be chosen again.
          target.value = ''
        }}
      />
      <button type="button" className="primary" onClick={() => field.current?.click()}>
        Choose a file
      </button>
      <p className="soft">or a sample</p>
      <div className="samples">
        {samples.map(({ file, title }) => (
          <button type="button" key={file} onClick={() => take(sample(file))}>
            {title}
          </button>
        ))}
      </div>
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </section>
  )
}
