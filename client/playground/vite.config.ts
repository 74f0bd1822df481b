/**
 * Builds the pages into a folder that the server serves: the playground, the frame of the documents, and the inspector,
 * which has its source beside the playground's. One build lets them share React and the client.
 */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const at = (file: string) => fileURLToPath(new URL(file, import.meta.url))

export default defineConfig({
  // Links are relative, since the page may be below a prefix.
  base: './',
  esbuild: { jsx: 'automatic' },
  build: {
    outDir: '../page',
    emptyOutDir: true,
    // The oldest browsers that client/README.md names.
    target: ['chrome100', 'edge100', 'firefox104', 'safari16.4'],
    modulePreload: { polyfill: false },
    // The packages in the page are under licences that ask for their text.
    license: { fileName: 'licenses.md' },
    rollupOptions: { input: [at('index.html'), at('documents.html'), at('inspector.html')] },
  },
})
