/** What the benchmark uses of `twinrail/guide`: the one place that knows where it lies. */
export * from '../../src/guide/index.ts'
