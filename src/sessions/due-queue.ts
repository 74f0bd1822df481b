/** Entries in the order of their due times, of which any can be taken out early. */

/** A binary heap that knows where each entry stands: adding and removing take O(log n). */
export class DueQueue<T extends { readonly due: number }> {
  readonly #heap: T[] = []
  readonly #placeOf = new Map<T, number>()

  get size(): number {
    return this.#heap.length
  }

  /** The entry that is due first; `undefined` when the queue is empty. */
  get first(): T | undefined {
    return this.#heap[0]
  }

  /** Adds an entry. It must not be in the queue, and its due time must not change while it is. */
  add(entry: T): void {
    this.#put(entry, this.#heap.length)
    this.#rise(this.#heap.length - 1)
  }

  /** Takes an entry out; `false` when it is not in the queue. */
  remove(entry: T): boolean {
    const place = this.#placeOf.get(entry)
    if (place === undefined) return false
    this.#placeOf.delete(entry)
    const last = this.#heap.pop() as T
    if (last === entry) return true
    this.#put(last, place)
    this.#rise(place)
    this.#sink(this.#placeOf.get(last) as number)
    return true
  }

  #rise(place: number): void {
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (this.#due(parent) <= this.#due(place)) return
      this.#swap(place, parent)
      place = parent
    }
  }

  #sink(place: number): void {
    for (;;) {
      const left = 2 * place + 1
      if (left >= this.#heap.length) return
      const right = left + 1
      const child = right < this.#heap.length && this.#due(right) < this.#due(left) ? right : left
      if (this.#due(place) <= this.#due(child)) return
      this.#swap(place, child)
      place = child
    }
  }

  #due(place: number): number {
    return (this.#heap[place] as T).due
  }

  #swap(a: number, b: number): void {
    const [one, other] = [this.#heap[a] as T, this.#heap[b] as T]
    this.#put(one, b)
    this.#put(other, a)
  }

  #put(entry: T, place: number): void {
    this.#heap[place] = entry
    this.#placeOf.set(entry, place)
  }
}
