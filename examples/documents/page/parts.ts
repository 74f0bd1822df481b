/** What a run has said so far, by kind. Events of the agent's own are checked by the schemas that the agent uses. */
import type { Part, RunView } from 'twinrail-client/react'
import { Facts, Terms } from '../events.ts'

const last = <T extends Part['type']>(parts: readonly Part[], type: T) =>
  parts.findLast((part): part is Extract<Part, { type: T }> => part.type === type)

export function partsOf({ parts }: RunView) {
  const own = (type: `x.${string}`) => (last(parts, type) as { data?: unknown } | undefined)?.data
  return {
    plan: last(parts, 'plan'),
    facts: Facts.safeParse(own('x.facts')).data,
    terms: Terms.safeParse(own('x.terms')).data?.terms,
    sources: parts.filter(part => part.type === 'source'),
    summary: last(parts, 'text'),
    report: last(parts, 'artifact'),
  }
}
