/** Saves an answer of the server as a file. */

interface FilePicker {
  showSaveFilePicker?(options: { suggestedName: string }): Promise<{
    createWritable(): Promise<WritableStream<Uint8Array>>
  }>
}

/** A browser that can write files gets it piece by piece; any other one has all of it in memory for a moment. */
export async function save(ask: () => Promise<Response>, name: string): Promise<void> {
  const { showSaveFilePicker } = globalThis as FilePicker
  if (showSaveFilePicker) {
    let file: Awaited<ReturnType<NonNullable<FilePicker['showSaveFilePicker']>>>
    try {
      file = await showSaveFilePicker.call(globalThis, { suggestedName: name })
    } catch (error) {
      if ((error as Error).name === 'AbortError') return
      throw error
    }
    const response = await ask()
    await response.body!.pipeTo(await file.createWritable())
    return
  }
  const url = URL.createObjectURL(await (await ask()).blob())
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  // Browsers that have not begun to read it by then ask for the place first.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
