import t from 'tap'
import { logContract } from '../../src/log/contract/index.ts'
import { createMemoryLog } from '../../src/log/memory.ts'

logContract(t, 'memory', (_, options) => createMemoryLog(options))
