/**
 * Allocates space at the end of the log's file, by writing zeros, before LMDB needs it. LMDB's native code cannot handle
 * a write that the disk refuses: it formats the error into a buffer that is too short, and the process aborts later. When
 * the write of zeros is refused, only the commit is refused.
 */
import { type FileHandle, open, statfs } from 'node:fs/promises'
import type { TwinrailError } from '../../protocol/index.ts'
import { logFull } from '../refusals.ts'
import { endOfPages } from './folder.ts'

/** The properties of a commit that determine how much space it needs. */
export interface Demand {
  /** Changed places in the trees: each may copy the pages above it, and split them. */
  readonly places: number
  /** Rows removed from contiguous ranges. */
  readonly removed: number
  /** Number of values that are too large for a page of the tree. */
  readonly large: number
  /** Total size of keys and values, in bytes. */
  readonly bytes: number
}

/** Pages that one changed place may copy or split: trees of 4 KiB pages have four levels at 10^8 rows. */
const PLACE_PAGES = 6

/** Pages for the tables' roots and LMDB's list of free pages. */
const FIXED_PAGES = 64

/** LMDB may rewrite what it has read of its list of free pages: 8 bytes for each, of at most two million. */
const MAX_FREE_LIST_PAGES = 1024

/** The demand of a small step of the sweeper, or of deleting a session. */
const FREEING: Demand = { places: 30, removed: 100, large: 0, bytes: 64 * 1024 }

/**
 * The demand of a few appends of usual size. Smaller appends are treated as needing as many free pages, so that those of
 * small values are all refused or none, as readiness reports.
 */
const USUAL: Demand = { places: 20, removed: 0, large: 8, bytes: 256 * 1024 }

/** Space that is allocated ahead of appends, in addition to that for deletions, in bytes. The largest event fits. */
const AHEAD_BYTES = 2 * 1024 * 1024

/** Minimum growth of the file, in bytes, if the disk has so much. */
const GROWTH_BYTES = 1024 * 1024

/** Lifetime of the cached free space of the disk and the file, in ms. */
const LOOK_MS = 100

const ZEROS = Buffer.alloc(256 * 1024)

export interface RoomParts {
  /** The log's file; LMDB has written its first pages. */
  readonly path: string
  /** The file does not grow for appends while the disk has fewer free bytes. */
  readonly reserveBytes: number
  /** Size of the used pages in the file, in bytes. */
  usedBytes(): number
  /** Whether deleted or trimmed data still takes space. */
  hasGarbage(): boolean
}

export class Room {
  readonly #parts: RoomParts
  readonly #file: FileHandle
  #pageSize = 4096
  /** Upper bound of the end of the last page, in bytes. */
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
    // In append mode existing data cannot be overwritten, even if another process writes.
    const room = new Room(parts, await open(parts.path, 'a+'))
    await room.#measure()
    return room
  }

  /** Whether the file's last attempt to grow failed. */
  get isShort(): boolean {
    return this.#isShort
  }

  /**
   * Makes sure that the file has the space that a commit may need. Called before each commit, one at a time.
   * @param frees the commit frees space, so it may use the reserve
   * @throws TwinrailError `unavailable`, with `details.reason` `full`; the commit must not be written then
   */
  async provide(demand: Demand, frees: boolean): Promise<void> {
    const growth = this.#growth(demand)
    const hasRoom = frees ? await this.#roomToFree(growth) : await this.#roomToAppend(demand)
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
    // Only small steps and deletions may use the reserve.
    const reserve = growth <= this.#growth(FREEING) ? 0 : this.#parts.reserveBytes
    return this.#reach(growth, reserve)
  }

  async #roomToAppend(demand: Demand): Promise<boolean> {
    const { reserveBytes } = this.#parts
    const growth = this.#growth(demand)
    const ample = Math.max(growth, this.#growth(USUAL))
    const freeing = this.#growth(FREEING)
    this.#isShort = !(await this.#reach(ample + freeing + AHEAD_BYTES, reserveBytes))
    if (!this.#isShort) return true
    // LMDB uses free pages first. Later deletions need free pages as well: without them they would use the space behind
    // the last page, which is not recovered.
    if (this.#freeInside() < ample + 2 * freeing) return false
    // Single pages come from the free ones. A large value may find no range of free pages and takes space behind the
    // last page. It must leave what deletions and appends of small values need there: otherwise deleting would make room
    // for neither.
    const atEnd = demand.large > 0 ? this.#valueBytes(demand) + FIXED_PAGES * this.#pageSize : 0
    return this.#reach(Math.max(growth, atEnd + freeing), reserveBytes / 2)
  }

  /** Grows the file until `wanted` bytes follow its last page, if the disk keeps `reserve` bytes free. */
  async #reach(wanted: number, reserve: number): Promise<boolean> {
    if (this.#tail < wanted) this.#look()
    if (this.#tail < wanted) await this.#grow(wanted - this.#tail, reserve)
    return this.#tail >= wanted
  }

  /** The maximum by which a commit moves the end of the last page, in bytes. */
  #growth({ places, removed, large, bytes }: Demand): number {
    const pages = Math.ceil(this.#end / this.#pageSize)
    const copied = Math.min(places * PLACE_PAGES + removed, pages)
    const list = Math.min(Math.ceil(pages / 512), MAX_FREE_LIST_PAGES)
    return (copied + list + FIXED_PAGES) * this.#pageSize + this.#valueBytes({ large, bytes })
  }

  /** The maximum that the values of a commit take, in bytes. Splitting leaves pages half full. */
  #valueBytes({ large, bytes }: Pick<Demand, 'large' | 'bytes'>): number {
    return (2 * large + Math.ceil((2 * bytes) / this.#pageSize)) * this.#pageSize
  }

  async #measure(): Promise<void> {
    this.#size = (await this.#file.stat()).size
    this.#look()
  }

  /** Finds the end of the last page. The file never shrinks, and LMDB makes it longer only by pages. */
  #look(): void {
    const { pageSize, end } = endOfPages(this.#file.fd)
    this.#size = Math.max(this.#size, end)
    this.#pageSize = pageSize
    this.#end = end
  }

  /** Writes zeros until the disk refuses them. */
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
      // The disk, a quota or a limit on the file's size refused more. The file's size tells how much was written.
    }
    await this.#measure()
  }

  async #diskFree(): Promise<number> {
    if (performance.now() >= this.#disk.until) {
      const { bavail, bsize } = await statfs(this.#parts.path)
      this.#disk = { free: bavail * bsize, until: performance.now() + LOOK_MS }
    }
    return this.#disk.free
  }

  /** Size of the free pages in the file, in bytes. LMDB uses them before new ones where they are contiguous enough. */
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
