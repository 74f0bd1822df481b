#!/usr/bin/env node
/** `npx twinrail-examples <name>`: starts an example of the package, which brings the built pages. */
import { join } from 'node:path'
import { main } from './cli.ts'

await main({
  command: 'npx twinrail-examples',
  home: join(import.meta.dirname, '..'),
  page: async name => join(import.meta.dirname, name, 'page'),
})
