import t from 'tap'
import { createMemoryLog } from '../../src/log/memory.ts'
import { logContract } from '../fixtures/log-contract.ts'

logContract(t, 'memory', (_, options) => createMemoryLog(options))
