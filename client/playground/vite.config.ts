/** Builds the page, and the frame of the documents, into a folder that the server serves. */
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
    rollupOptions: { input: [at('index.html'), at('documents.html')] },
  },
})
