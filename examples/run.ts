/** `npm run example -- <name>`: builds the page of an example, starts its server, and prints the address. */
import { buildPage } from './build.ts'
import { main } from './cli.ts'

await main({
  command: 'npm run example --',
  home: import.meta.dirname,
  page(name) {
    process.stdout.write(`${name}: building the page …\n`)
    return buildPage(name)
  },
})
