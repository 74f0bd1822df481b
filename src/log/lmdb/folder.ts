/** Checks a log's folder before LMDB maps the file, since a damaged file can crash LMDB. */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

/** Why a folder cannot serve as a log. */
export type FolderProblem = 'foreign' | 'version' | 'corrupt' | 'in-use' | 'unusable'

/** Thrown when a log is opened; the message says what was found and what to do. The folder was not changed. */
export class LogFolderError extends Error {
  /** The name of the class, also where the class itself was loaded twice. */
  override readonly name = 'LogFolderError'
  /** What is wrong with the folder. */
  readonly problem: FolderProblem

  constructor(problem: FolderProblem, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.problem = problem
  }
}

/** The table that identifies a file as a log; its name is the version of the format. */
export const FORMAT = 'twinrail/1'

/** The name of the log's file in its folder. */
export const FILE = 'log.mdb'

/** Size of a log without sessions, rounded up. */
const NEW_BYTES = 256 * 1024

/** Number of pages that are checked when a file is opened: 16 MiB, about 20 ms. */
const PAGES = 4096

/**
 * Creates the folder if it is missing, and checks that it is empty or contains a log of this version.
 * @returns the path of the log's file, which need not exist
 * @throws LogFolderError
 */
export function checkFolder(folder: string): string {
  try {
    mkdirSync(folder, { recursive: true })
    const path = join(realpathSync(folder), FILE)
    // LMDB's lock file and a volume's own entries are allowed.
    const others = ['lost+found', `${FILE}-lock`]
    const names = readdirSync(folder).filter(name => !name.startsWith('.') && !others.includes(name))
    if (names.includes(FILE)) checkFile(path)
    else if (names.length === 0) checkRoom(folder)
    else {
      throw new LogFolderError(
        'foreign',
        `the folder ${folder} is not empty and holds no Twinrail log; name a new or an empty one`,
      )
    }
    return path
  } catch (cause) {
    if (cause instanceof LogFolderError) throw cause
    const { code, message } = cause as NodeJS.ErrnoException
    const taken = code === 'EEXIST' || code === 'ENOTDIR'
    const why = taken ? 'a file stands in its place' : message
    throw new LogFolderError('unusable', `the log's folder ${folder} cannot be used: ${why}`, cause)
  }
}

/** LMDB crashes when it cannot write the start of a new file, so this is tried first. @throws LogFolderError */
function checkRoom(folder: string): void {
  try {
    probeDisk(folder)
  } catch (cause) {
    const { message } = cause as Error
    throw new LogFolderError('unusable', `a new log cannot be made in ${folder}: ${message}`, cause)
  }
}

/** Writes a file of the size of a new log, and deletes it. @throws Error when the disk refuses it */
export function probeDisk(folder: string): void {
  const probe = join(folder, `.probe-${process.pid}`)
  try {
    writeFileSync(probe, Buffer.alloc(NEW_BYTES), { flush: true })
  } finally {
    rmSync(probe, { force: true })
  }
}

/** @throws LogFolderError when the file is not a sound log of this version */
function checkFile(path: string): void {
  const file = openSync(path, 'r')
  try {
    const { damage, isNew, names, state } = lookAt(file)
    if (damage !== undefined) {
      // A file that another process is writing looks damaged as well; LMDB finds that process later.
      if (lookAt(file).state === state) throw corrupt(path, damage)
    } else if (isNew) checkRoom(dirname(path))
    else checkFormat(path, names)
  } finally {
    closeSync(file)
  }
}

/** @throws LogFolderError unless the tables are those of this version, or there are none yet */
function checkFormat(path: string, names: ReadonlySet<string>): void {
  if (names.has(FORMAT)) return
  const [other] = [...names].filter(name => name.startsWith('twinrail/'))
  if (other === undefined) {
    throw new LogFolderError('foreign', `${path} is the database of another program; name another folder`)
  }
  throw new LogFolderError(
    'version',
    `${path} has the format ${other}, this Twinrail reads ${FORMAT}; use the version that wrote it, or another folder`,
  )
}

function corrupt(path: string, what: string): LogFolderError {
  return new LogFolderError(
    'corrupt',
    `${path} is damaged or no log: ${what}. It was left as it is; restore a backup, or name another folder`,
  )
}

/** A meta page of LMDB, which has the roots of the trees. */
interface Meta {
  pageSize: number
  lastPage: number
  txnid: bigint
  /** Root of the tree of named tables. */
  root: number
}

/** `MDB_page` and `MDB_meta` of LMDB's data format 2. */
const MAGIC = 0xbeefc0de
const DATA_FORMAT = 2
const HEADER = 24
const META_BYTES = HEADER + 136
const NONE = 0xffffffffffffffffn
const BRANCH = 0x01
const LEAF = 0x02
const META = 0x08
const SUB_TABLE = 0x02

/** The result of checking a file. */
interface Look {
  /** LMDB was killed before it wrote a table. */
  readonly isNew: boolean
  readonly names: ReadonlySet<string>
  readonly damage?: string | undefined
  /** Differs from that of an earlier check when the file was written in between. */
  readonly state: string
}

function lookAt(file: number): Look {
  const first = readMeta(file, 0, 0)
  const second = first && readMeta(file, first.pageSize, 1)
  // Read after the meta pages it is compared with: a file grows before its meta pages say so.
  const { size } = fstatSync(file)
  const state = `${size} ${first?.txnid} ${second?.txnid}`
  const names = new Set<string>()
  if (size === 0) return { isNew: true, names, state }
  if (!first || !second) {
    return { isNew: false, names, state, damage: 'it does not begin as an LMDB file does' }
  }
  const meta = second.txnid > first.txnid ? second : first
  const expected = (meta.lastPage + 1) * meta.pageSize
  if (expected > size) {
    return { isNew: false, names, state, damage: `it has ${size} bytes and should have ${expected}` }
  }
  if (meta.root < 0) return { isNew: true, names, state }
  const main = walk(file, meta, [meta.root])
  const isLog = main.damage === undefined && main.names.has(FORMAT)
  const { damage } = isLog ? walk(file, meta, main.roots) : main
  return { isNew: false, names: main.names, state, damage }
}

function readMeta(file: number, at: number, page: number): Meta | undefined {
  const bytes = Buffer.alloc(META_BYTES)
  if (readSync(file, bytes, 0, META_BYTES, at) < META_BYTES) return undefined
  const sound =
    bytes.readBigUInt64LE(0) === BigInt(page) &&
    (bytes.readUInt16LE(18) & META) !== 0 &&
    bytes.readUInt32LE(HEADER) === MAGIC &&
    bytes.readUInt32LE(HEADER + 4) === DATA_FORMAT
  const pageSize = bytes.readUInt32LE(HEADER + 24)
  if (!sound || pageSize < 512 || pageSize > 65_536) return undefined
  const root = bytes.readBigUInt64LE(HEADER + 112)
  return {
    pageSize,
    root: root === NONE ? -1 : Number(root),
    lastPage: Number(bytes.readBigUInt64LE(HEADER + 120)),
    txnid: bytes.readBigUInt64LE(HEADER + 128),
  }
}

/** Where the last page of LMDB's last commit ends, in bytes. @param file of a log that LMDB has open */
export function endOfPages(file: number): { pageSize: number; end: number } {
  const first = readMeta(file, 0, 0)
  const second = first && readMeta(file, first.pageSize, 1)
  if (!first || !second) throw new Error('the log does not begin as an LMDB file does')
  const { pageSize, lastPage } = second.txnid > first.txnid ? second : first
  return { pageSize, end: (lastPage + 1) * pageSize }
}

/** The result of a walk. */
interface Found {
  /** The damage that was found, if any. */
  damage?: string
  /** Keys of the leaves: in the tree of tables, their names. */
  names: Set<string>
  /** Roots of the tables. */
  roots: number[]
}

/** Walks trees breadth first from their roots, up to {@link PAGES} pages. */
function walk(file: number, { pageSize, lastPage }: Meta, roots: readonly number[]): Found {
  const found: Found = { names: new Set(), roots: [] }
  const page = Buffer.alloc(pageSize)
  const queue = [...roots]
  for (let i = 0; i < queue.length && i < PAGES; i++) {
    const number = queue[i] as number
    if (number < 2 || number > lastPage) return { ...found, damage: `it points to a page ${number}` }
    readSync(file, page, 0, pageSize, number * pageSize)
    if (!readPage(page, number, queue, found)) {
      return { ...found, damage: `its page ${number} holds something else` }
    }
  }
  return found
}

/** Collects a page's children and names; returns `false` when it is not a page of a tree. */
function readPage(page: Buffer, number: number, children: number[], { names, roots }: Found): boolean {
  const kind = page.readUInt16LE(18) & (BRANCH | LEAF)
  // Offsets within a page are relative to the end of its header.
  const lower = page.readUInt16LE(20)
  const upper = page.readUInt16LE(22)
  if (page.readBigUInt64LE(0) !== BigInt(number) || (kind !== BRANCH && kind !== LEAF)) return false
  if (lower > upper || upper > page.length - HEADER) return false
  for (let at = 0; at < lower; at += 2) {
    const node = HEADER + page.readUInt16LE(HEADER + at)
    const key = node + 8
    if (node < HEADER + upper || key > page.length) return false
    // A branch's node has the child's number, in 48 bits, where a leaf's has size and flags.
    const flags = page.readUInt16LE(node + 4)
    if (kind === BRANCH) {
      children.push(page.readUInt32LE(node) + flags * 2 ** 32)
      continue
    }
    const data = key + page.readUInt16LE(node + 6)
    if (data > page.length) return false
    if ((flags & SUB_TABLE) === 0) continue
    if (data + 48 > page.length) return false
    names.add(page.toString('utf8', key, data).replace(/\0$/, ''))
    const root = page.readBigUInt64LE(data + 40)
    if (root !== NONE) roots.push(Number(root))
  }
  return true
}
