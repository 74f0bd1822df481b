/** The document that a new server has. */
export const welcome = `# A text for several hands

Everybody who opens this page writes in the same text. Each change is an event in a log, and every copy of the text is what these events make together. Nobody waits for anybody else, and no change is lost.

Open the page in a second window, and write in both at once. You see the cursor of the other window, its name, and what it has selected. Cursors are not part of the log, because nobody needs to know later where they were.

The co-author is a participant as well. It is an agent on the server with a copy of its own, so you can go on writing while it does. What it writes stays when you undo your own changes.
`
