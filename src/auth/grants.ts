/** Rights on sessions whose ids match patterns, as tokens and API keys give them. */
import type { Right } from './actions.ts'
import type { Wanted } from './authorize.ts'

/** Rights on the sessions that match one of the patterns. */
export interface Grant {
  /** Session ids; `*` stands for any characters, also none. */
  readonly sessions: readonly string[]
  readonly allow: readonly (Right | (string & {}))[]
}

/**
 * Whether an id matches a pattern in which `*` stands for any characters. Each part between the stars is searched once,
 * from where the part before it ended, so that no pattern takes long.
 */
export function matchesPattern(pattern: string, id: string): boolean {
  const parts = pattern.split('*')
  const [first = ''] = parts
  if (parts.length === 1) return id === pattern
  const last = parts.at(-1) as string
  if (id.length < first.length + last.length || !id.startsWith(first) || !id.endsWith(last)) return false
  const end = id.length - last.length
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = id.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

/**
 * Whether the grants allow an action. Actions on no session are allowed by a grant on any session, except those of the
 * group `admin`, which need a grant on all sessions (`*`).
 */
export function grantsAllow(grants: readonly Grant[], { group, sessionId }: Wanted): boolean {
  if (group === 'any') return true
  return grants.some(({ sessions, allow }) => {
    if (!allow.some(right => covers(right, group))) return false
    if (group === 'admin') return sessions.includes('*')
    return sessionId === undefined || sessions.some(pattern => matchesPattern(pattern, sessionId))
  })
}

/** Whether a right gives what a group of actions needs. A right such as `work:support-*` covers several agents. */
export function covers(right: string, group: string): boolean {
  return right === group || (right.startsWith('work:') && matchesPattern(right, group))
}

/**
 * Whether a principal without grants of its own may do it: `read`, `write` and `manage` on the sessions that it created,
 * and creating. A session that does not exist is nobody's: the server answers that it is missing, or creates it.
 */
export function ownerAllows(principal: string, { group, sessionId, session }: Wanted): boolean {
  if (group === 'any') return true
  if (group !== 'read' && group !== 'write' && group !== 'manage') return false
  return sessionId === undefined || session === undefined || session.createdBy === principal
}
