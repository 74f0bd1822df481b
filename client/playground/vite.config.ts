/** Builds the page into a folder that the server serves. */
import { defineConfig } from 'vite'

export default defineConfig({
  base: '/',
  esbuild: { jsx: 'automatic' },
  build: { outDir: '../page', emptyOutDir: true, target: 'es2022', modulePreload: { polyfill: false } },
})
