/** Schemas without `eval`, which the page's Content-Security-Policy forbids: zod would try it, and the browser complain. */
import { config } from 'zod'

config({ jitless: true })
