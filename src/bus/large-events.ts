/** Which events are large: each reading of them is worth sharing, while many small ones are cheaper to read anew. */

/** Bytes, or UTF-16 units of JSON, from which an event is large. */
const LARGE_EVENT = 8 * 1024

/** Whether so many events are large on average. @param size of all of them together, in bytes or in UTF-16 units */
export const areLarge = (size: number, count: number): boolean => size >= LARGE_EVENT * Math.max(1, count)
