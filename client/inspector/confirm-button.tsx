/** A button for what cannot be undone: the first press asks, the second one does it. */
import { useState } from 'react'

export function ConfirmButton({
  label,
  asks,
  onConfirm,
  disabled = false,
}: {
  label: string
  /** What the button says after the first press. */
  asks: string
  onConfirm: () => void
  disabled?: boolean
}) {
  const [isAsking, setAsking] = useState(false)
  return (
    <button
      type="button"
      className={isAsking ? 'danger' : ''}
      disabled={disabled}
      onBlur={() => setAsking(false)}
      onKeyDown={event => {
        if (event.key === 'Escape') setAsking(false)
      }}
      onClick={() => {
        setAsking(!isAsking)
        if (isAsking) onConfirm()
      }}
    >
      {isAsking ? asks : label}
    </button>
  )
}
