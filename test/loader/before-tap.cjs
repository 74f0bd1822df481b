/**
 * Required before tap's own preloads. They register hooks for coverage and mocks, which no test here uses; where Node's hooks run in
 * a second thread, each import of a test file would go through them. register.mjs, the last preload, puts `register` back.
 */
const module_ = require('node:module')

const { register } = module_
set(() => {})
exports.restore = () => set(register)

function set(fn) {
  module_.register = fn
  module_.syncBuiltinESMExports()
}
