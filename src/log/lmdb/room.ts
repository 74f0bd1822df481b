/**
 * Room in the log's file behind its last page, written as zeros before LMDB needs it. LMDB's native code does not
 * survive a write that the disk refuses: it formats the error into a buffer that is too short, and the process aborts
 * later. A write from here that is refused only refuses the commit.
 */
import { type FileHandle, open, statfs } from 'node:fs/promises'
import type { TwinrailError } from '../../protocol/index.ts'
import { logFull } from '../refusals.ts'
import { endOfPages } from './folder.ts'

/** What a commit changes, as far as the room that it needs depends on it. */
export interface Demand {
  /** Places in the trees that change: each may copy the pages above it, and split them. */
  readonly places: number
  /** Rows removed next to one another. */
  readonly removed: number
  /** Values that are too large for a page of the tree. */
  readonly large: number
  /** Bytes of all keys and values. */
  readonly bytes: number
}

/** Pages that one changed place may copy or split: trees of 4 KiB pages are four levels deep at 10^8 rows. */
const PLACE_PAGES = 6

/** Pages of the tables' roots, and of LMDB's list of free pages. */
const FIXED_PAGES = 64

/** LMDB may rewrite what it has read of its list of free pages: 8 bytes for each, of at most two million. */
const MAX_FREE_LIST_PAGES = 1024

/** What a small step of the sweeper, or the deletion of a session, changes. */
const FREEING: Demand = { places: 30, removed: 100, large: 0, bytes: 64 * 1024 }

/**
 * What a few appends of a usual size change. Smaller ones need as much: so all of them are refused, or none is, and what
 * is said about readiness holds for all.
 */
const USUAL: Demand = { places: 20, removed: 0, large: 8, bytes: 256 * 1024 }

/** Room that commits find there beside what deletions need, in bytes; the largest event fits. */
const AHEAD_BYTES = 2 * 1024 * 1024

/** The file grows by so much at least, in bytes, where the disk has it. */
const GROWTH_BYTES = 1024 * 1024

/** What the disk and the file have free is asked for again after so long, in ms. */
const LOOK_MS = 100

const ZEROS = Buffer.alloc(256 * 1024)

export interface RoomParts {
  /** The log's file; LMDB has written its beginning. */
  readonly path: string
  /** The file does not grow for appends while the disk has fewer free bytes. */
  readonly reserveBytes: number
  /** Bytes of the pages within the file that hold something. */
  usedBytes(): number
  /** Whether something that was deleted or trimmed still takes room. */
  hasGarbage(): boolean
}

export class Room {
  readonly #parts: RoomParts
  readonly #file: FileHandle
  #pageSize = 4096
  /** Where the last page may end by now, in bytes. */
  #end = 0
  #size = 0
  #isShort = false
  #disk = { free: 0, until: 0 }
  #inside = { free: 0, until: 0 }

  private constructor(parts: RoomParts, file: FileHandle) {
    this.#parts = parts
    this.#file = file
  }

  static async open(parts: RoomParts): Promise<Room> {
    // Appends: nothing that is there can be written over, whoever else writes.
    return new Room(parts, await open(parts.path, 'a+'))
  }

  /** Whether the file could not grow when it was last to. */
  get isShort(): boolean {
    return this.#isShort
  }

  /**
   * Sees to it that the file has all the room that a commit may need. Called before each commit, one at a time.
   * @param frees the commit is there to make room: it may use what is kept for such
   * @throws TwinrailError `unavailable`, with `details.reason` `full`; nothing was changed then
   */
  async provide(demand: Demand, frees: boolean): Promise<void> {
    if (this.#size === 0) await this.#look()
    const growth = this.#growth(demand)
    const hasRoom = frees
      ? await this.#roomToFree(growth)
      : await this.#roomToAppend(Math.max(growth, this.#growth(USUAL)))
    if (!hasRoom) throw await this.#full()
    if (frees) this.#inside.until = 0
    this.#end += growth
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  get #tail(): number {
    return this.#size - this.#end
  }

  async #roomToFree(growth: number): Promise<boolean> {
    // Large steps are for when there is room; small ones, and deletions, are what the reserve is for.
    const reserve = growth <= this.#growth(FREEING) ? 0 : this.#parts.reserveBytes
    return this.#reach(growth, reserve)
  }

  async #roomToAppend(growth: number): Promise<boolean> {
    const { reserveBytes } = this.#parts
    const freeing = this.#growth(FREEING)
    this.#isShort = !(await this.#reach(growth + freeing + AHEAD_BYTES, reserveBytes))
    if (!this.#isShort) return true
    // LMDB takes free pages first. What is to make room later must find some, too: without them it would use up the
    // room behind the last page, which never comes back.
    if (this.#freeInside() < growth + 2 * freeing) return false
    // A large value may find no stretch of free pages, so the room must be there all the same.
    return this.#reach(growth + freeing, reserveBytes / 2)
  }

  /** Lets the file grow until so many bytes are behind its last page, while the disk has `reserve` free besides. */
  async #reach(wanted: number, reserve: number): Promise<boolean> {
    if (this.#tail < wanted) await this.#look()
    if (this.#tail < wanted) await this.#grow(wanted - this.#tail, reserve)
    return this.#tail >= wanted
  }

  /** The most by which a commit moves the end of the last page, in bytes. */
  #growth({ places, removed, large, bytes }: Demand): number {
    const pages = Math.ceil(this.#end / this.#pageSize)
    const copied = Math.min(places * PLACE_PAGES + removed, pages)
    // A page that was split is half full.
    const added = 2 * large + Math.ceil((2 * bytes) / this.#pageSize)
    const list = Math.min(Math.ceil(pages / 512), MAX_FREE_LIST_PAGES)
    return (copied + added + list + FIXED_PAGES) * this.#pageSize
  }

  async #look(): Promise<void> {
    const { size } = await this.#file.stat()
    const { pageSize, end } = endOfPages(this.#file.fd)
    this.#size = size
    this.#pageSize = pageSize
    this.#end = end
  }

  /** Writes zeros as far as the disk takes them. */
  async #grow(missing: number, reserve: number): Promise<void> {
    const spare = (await this.#diskFree()) - reserve
    if (reserve > 0 && spare < missing) return
    let left = Math.max(missing, Math.min(GROWTH_BYTES, spare))
    try {
      while (left > 0) {
        const { bytesWritten } = await this.#file.write(ZEROS, 0, Math.min(left, ZEROS.length))
        left -= bytesWritten
        this.#disk.free -= bytesWritten
      }
    } catch {
      // The disk, a quota or a limit on the file's size: what fits is in the file's size now.
    }
    await this.#look()
  }

  async #diskFree(): Promise<number> {
    if (performance.now() >= this.#disk.until) {
      const { bavail, bsize } = await statfs(this.#parts.path)
      this.#disk = { free: bavail * bsize, until: performance.now() + LOOK_MS }
    }
    return this.#disk.free
  }

  /** Bytes of pages within the file that hold nothing. LMDB takes them before it takes new ones, if they lie well. */
  #freeInside(): number {
    if (performance.now() >= this.#inside.until) {
      const { end } = endOfPages(this.#file.fd)
      this.#inside = { free: end - this.#parts.usedBytes(), until: performance.now() + LOOK_MS }
    }
    return this.#inside.free
  }

  async #full(): Promise<TwinrailError> {
    this.#disk.until = 0
    const free = megabytes(await this.#diskFree())
    const reserve = megabytes(this.#parts.reserveBytes)
    const later = this.#parts.hasGarbage()
      ? '; what was deleted or trimmed is still being freed'
      : '; delete sessions, or make room on the disk'
    return logFull(`the disk of the log is full: it has ${free} free, of which ${reserve} are kept${later}`)
  }
}

const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
