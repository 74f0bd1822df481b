import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const target = process.env.TWINRAIL_URL ?? 'http://127.0.0.1:8787'

// The page and the server have one origin, as behind a proxy in production.
export default defineConfig({ plugins: [react()], server: { proxy: { '/v1': { target, ws: true } } } })
