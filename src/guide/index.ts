/** The selection guide: scenarios, rules and measured figures. Runs in browsers and in Node alike. */
export * from './advice.ts'
export * from './choose.ts'
export * from './evidence.ts'
export * from './measured.ts'
export * from './measured-networks.ts'
export * from './names.ts'
export * from './needs.ts'
export * from './scenarios.ts'
