/** Workers written in Python, against the real server. */
import t from 'tap'
import { missing, pythonStage } from './stage.ts'

const skip = missing()

t.test('workers', { skip }, async t => {
  await (await pythonStage(t)).run('worker')
})

t.test('examples', { skip }, async t => {
  await (await pythonStage(t)).run('examples')
})
