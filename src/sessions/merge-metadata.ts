/** Changes of a session's metadata: JSON Merge Patch, RFC 7396. */

/** Maximum size of a session's metadata, in UTF-8 bytes of JSON. */
export const METADATA_BYTES = 16 * 1024

type Metadata = Record<string, unknown>

/** The metadata after the change: `null` removes a field, objects are merged, and everything else replaces what was there. */
export function mergeMetadata(metadata: Metadata, patch: Metadata): Metadata {
  const merged = { ...metadata }
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name]
    else if (isObject(value)) merged[name] = mergeMetadata(objectOf(merged[name]), value)
    else merged[name] = value
  }
  return merged
}

function isObject(value: unknown): value is Metadata {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function objectOf(value: unknown): Metadata {
  return isObject(value) ? value : {}
}
