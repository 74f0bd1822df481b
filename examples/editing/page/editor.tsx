/** The editor: CodeMirror on the shared text. */
import { markdown } from '@codemirror/lang-markdown'
import { syntaxHighlighting } from '@codemirror/language'
import { Prec } from '@codemirror/state'
import { EditorView, keymap, placeholder } from '@codemirror/view'
import { classHighlighter } from '@lezer/highlight'
import { minimalSetup } from 'codemirror'
import { useEffect, useRef } from 'react'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'
import type * as Y from 'yjs'
import type { SharedText } from './shared-text.ts'

interface EditorProps {
  shared: SharedText
  /** Undoes what was typed here, and nothing of the others. */
  undo: Y.UndoManager
  /** Called with the editor when it is there, and with `undefined` when it is gone. */
  onView(view: EditorView | undefined): void
}

export function Editor({ shared, undo, onView }: EditorProps) {
  const frame = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const view = new EditorView({
      doc: shared.text.toString(),
      parent: frame.current!,
      extensions: [
        // Before the keys of CodeMirror's own history, which would undo the changes of others as well.
        Prec.highest(keymap.of(yUndoManagerKeymap)),
        Prec.high(yCollab(shared.text, shared.cursors, { undoManager: undo })),
        minimalSetup,
        markdown(),
        syntaxHighlighting(classHighlighter),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': 'Document', spellcheck: 'true' }),
        placeholder('Write here'),
      ],
    })
    onView(view)
    return () => {
      onView(undefined)
      view.destroy()
    }
  }, [shared, undo, onView])
  return <div className="editor" ref={frame} />
}
