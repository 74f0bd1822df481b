/** Every action that needs authorization, and the group of rights that it belongs to. docs/authorization.md has the table. */
import type { Command } from '../protocol/index.ts'

/** What a principal can be given for sessions, for example in a token. */
export const rights = ['read', 'write', 'produce', 'manage', 'admin', 'subscribe:wait'] as const
/** The right to execute the runs of an agent as a worker; `*` stands for any characters of a name. */
export type WorkRight = `work:${string}`
/** A right: one of {@link rights}, or that of executing the runs of an agent. */
export type Right = (typeof rights)[number] | WorkRight

/** Whether a text is a right. */
export function isRight(text: string): text is Right {
  return (rights as readonly string[]).includes(text) || /^work:.{1,256}$/.test(text)
}

/**
 * The group of an action: a right, `any` for what every principal may do, or `public` for what needs no principal; the
 * hook is not asked about `public` actions.
 */
export type Group = Right | 'any' | 'public'

/** The group of every action. Each route and each command is one of these actions. */
export const actionGroups = {
  'health.read': 'public',
  'inspect.open': 'public',
  connect: 'any',
  'ticket.create': 'any',
  'agents.list': 'any',
  'guide.read': 'any',
  'openapi.read': 'any',
  'page.read': 'any',
  subscribe: 'read',
  'session.read': 'read',
  'presence.read': 'read',
  'presence.enter': 'read',
  'run.start': 'write',
  'run.cancel': 'write',
  'input.answer': 'write',
  'input.steer': 'write',
  publish: 'write',
  ingest: 'produce',
  'work.register': 'produce',
  'work.append': 'produce',
  'session.create': 'manage',
  'session.update': 'manage',
  'session.delete': 'manage',
  'session.list': 'manage',
  'metrics.read': 'admin',
  'inspect.read': 'admin',
  'inspect.end': 'admin',
  'revocation.create': 'admin',
  'subscribe:wait': 'subscribe:wait',
} as const satisfies Record<string, Group>

/** An action that needs authorization. To execute the runs of an agent is an action and a right of its own. */
export type Action = keyof typeof actionGroups | WorkRight

/** The group of an action. */
export function groupOf(action: Action): Group {
  return actionGroups[action as keyof typeof actionGroups] ?? (action as WorkRight)
}

/** Actions that create the session when it is missing. */
const creating: ReadonlySet<Action> = new Set(['session.create', 'run.start', 'publish', 'ingest'])

/** Whether the action creates the session when it is missing. */
export function createsSession(action: Action): boolean {
  return creating.has(action)
}

/**
 * The action of every command. `connection`: the command concerns only the connection, whose `connect` was authorized;
 * `subscribe` with `lag: wait` also needs `subscribe:wait`.
 */
export const commandActions = {
  subscribe: 'subscribe',
  unsubscribe: 'connection',
  window: 'connection',
  auth: 'connection',
  ping: 'connection',
  worker: 'work.register',
  'work.append': 'work.append',
  'run.start': 'run.start',
  'run.cancel': 'run.cancel',
  'input.answer': 'input.answer',
  'input.steer': 'input.steer',
  publish: 'publish',
} as const satisfies Record<Command['type'], Action | 'connection'>

/** Whether the action counts as a command of its principal. */
export function isCommand(action: Action): boolean {
  const group = groupOf(action)
  return group === 'write' || group === 'manage' || action === 'ticket.create'
}

/** The types of the commands that count towards the limit of commands. */
export const countedCommands: ReadonlySet<string> = new Set(
  Object.entries(commandActions)
    .filter(([, action]) => action !== 'connection' && isCommand(action))
    .map(([type]) => type),
)
