/**
 * Appends events from servers and jobs that are no agents of the server. Every event is in the log once, in order,
 * although connections break and answers are lost.
 */
export * from './producer.ts'
