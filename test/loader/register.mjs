/**
 * Lets Node run this project's TypeScript: `node --import=<this file>`. Each process of the tests starts with it, some
 * hundred in all, and it takes half a second of CPU less than a loader that does more. `npm run example` and `npm run dev`
 * start with it as well: in Node 20 the threads of a program that tsx runs cannot load TypeScript.
 */
import * as module from 'node:module'
import * as workers from 'node:worker_threads'
import beforeTap from './before-tap.cjs'
import { registerInThread } from './in-thread.mjs'
import { load } from './load.mjs'
import { resolve } from './names.mjs'

beforeTap.restore()
if (module.registerHooks) module.registerHooks({ load, resolve })
else if (!registerInThread({ load, resolve }, register)) register()

function register() {
  for (const hooks of ['./load.mjs', './names.mjs']) module.register(hooks, import.meta.url)
}

// A thread of a test gets this loader alone. By default it would also load what tap puts into each process, a second of
// CPU each time, and tests of threads that are stopped start many.
if (workers.isMainThread) {
  const { Worker } = workers.default
  workers.default.Worker = class extends Worker {
    constructor(file, options) {
      super(file, { execArgv: ['--expose-internals', `--import=${import.meta.url}`], ...options })
    }
  }
  module.syncBuiltinESMExports()
}
