/** A word that explains itself on hover, focus and tap. */
import { type KeyboardEvent, useId, useState } from 'react'

export function Term({ word, children }: { word: string; children: string }) {
  const [open, setOpen] = useState(false)
  const id = useId()
  const close = () => setOpen(false)
  return (
    <span
      className="term"
      onPointerEnter={({ pointerType }) => pointerType === 'mouse' && setOpen(true)}
      onPointerLeave={({ pointerType }) => pointerType === 'mouse' && close()}
    >
      <button
        type="button"
        aria-describedby={id}
        onClick={() => setOpen(true)}
        onFocus={() => setOpen(true)}
        onBlur={close}
        onKeyDown={(event: KeyboardEvent) => event.key === 'Escape' && close()}
      >
        {word}
      </button>
      <span role="tooltip" id={id} className="tip" hidden={!open}>
        {children}
      </span>
    </span>
  )
}
