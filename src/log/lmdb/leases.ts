/** Finds expired leases by their end times. */
import type { ExpiredLease } from '../log.ts'
import { endedBy, endKey, FIRST, readEndKey, type Tables } from './tables.ts'
import type { Transaction } from './writer.ts'

/**
 * Returns some of the leases that expired by `now`, oldest first, and the keys in `leaseEnds` of leases that were renewed
 * after the key was written.
 */
export function findExpired(
  tables: Tables,
  now: number,
  limit: number,
): { expired: ExpiredLease[]; renewed: Buffer[] } {
  const { sessions, leases, leaseEnds } = tables
  const found: (ExpiredLease & { expiresAt: number })[] = []
  const renewed: Buffer[] = []
  let latest = -Infinity
  for (const { key: end, value } of leaseEnds.rows(FIRST, endedBy(now))) {
    const { at, key } = readEndKey(end)
    // No lease ends before its key says, so all further leases end later than those found.
    if (found.length >= limit && at > latest) break
    const { sessionId, runId } = value
    const epoch = key.readDoubleBE(0)
    const lease = leases.get(key)
    // A deleted session's leases may not be freed yet.
    if (!lease || sessions.get(Buffer.from(sessionId))?.epoch !== epoch) continue
    const { token, expiresAt } = lease
    if (expiresAt > now) renewed.push(end)
    else {
      found.push({ sessionId, epoch, runId, token, expiresAt })
      latest = Math.max(latest, expiresAt)
    }
  }
  const expired = found
    .sort((a, b) => a.expiresAt - b.expiresAt)
    .slice(0, limit)
    .map(({ sessionId, epoch, runId, token }) => ({ sessionId, epoch, runId, token }))
  return { expired, renewed }
}

/** Moves renewed leases to the keys of their new end times, so that they are not checked earlier. */
export function moveEnds(
  { leases, leaseEnds }: Tables,
  transaction: Transaction,
  ends: readonly Buffer[],
): void {
  for (const end of ends) {
    const { at, key } = readEndKey(end)
    const lease = transaction.get(leases, key)
    const value = transaction.get(leaseEnds, end)
    if (lease?.endsAt !== at || !value) continue
    transaction.put(leases, key, { ...lease, endsAt: lease.expiresAt })
    transaction.remove(leaseEnds, end)
    transaction.put(leaseEnds, endKey(lease.expiresAt, key), value)
  }
}
