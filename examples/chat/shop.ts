/** What the assistant of the chat works with: the orders and the help pages of a shop that sells bicycles. */

export interface Order {
  id: string
  item: string
  /** In euros. */
  price: number
  status: 'packed' | 'on its way' | 'delivered' | 'refunded'
  carrier: string
}

export interface HelpPage {
  id: string
  title: string
  text: string
}

export const helpPages: readonly HelpPage[] = [
  {
    id: 'returns',
    title: 'Returns and refunds',
    text: 'You can return an order within 30 days of its delivery. We refund the price to your card within three working days. Return shipping is free inside the country.',
  },
  {
    id: 'shipping',
    title: 'Shipping times',
    text: 'We pack orders on working days before noon. Parcels take two to three days, bicycles take five, since a courier brings them in person.',
  },
  {
    id: 'warranty',
    title: 'Warranty',
    text: 'Frames have a warranty of ten years, all other parts one of two years. Worn chains, tyres and brake pads are not covered.',
  },
]

/** The shop's order system. Each server has one of its own. */
export class Shop {
  readonly #orders = new Map<string, Order>(
    (
      [
        ['1042', 'Touring bicycle, 56 cm', 1290, 'delivered', 'Courier'],
        ['1043', 'Waterproof pannier, pair', 149, 'on its way', 'Parcel post'],
        ['1077', 'Dynamo headlight', 89, 'packed', 'Parcel post'],
      ] as const
    ).map(([id, item, price, status, carrier]) => [id, { id, item, price, status, carrier }]),
  )
  #hasFailed = false

  /** @throws Error for an unknown order, and once for order 1077, so that there is a failure to retry */
  order(id: string): Order {
    if (id === '1077' && !this.#hasFailed) {
      this.#hasFailed = true
      throw new Error('The order system did not answer.')
    }
    const order = this.#orders.get(id)
    if (!order)
      throw new UnknownOrder(`There is no order ${id}. Orders: ${[...this.#orders.keys()].join(', ')}.`)
    return order
  }

  refund(id: string): Order {
    const order: Order = { ...this.order(id), status: 'refunded' }
    this.#orders.set(id, order)
    return order
  }

  /** The help pages that have most of the words. */
  search(query: string): HelpPage[] {
    const words = query.toLowerCase().match(/[a-z]{4,}/g) ?? []
    const rank = ({ title, text }: HelpPage) => {
      const content = `${title} ${text}`.toLowerCase()
      return words.filter(word => content.includes(word.replace(/(ing|ies|s)$/, ''))).length
    }
    return helpPages.filter(page => rank(page) > 0).sort((a, b) => rank(b) - rank(a))
  }
}

/** The order that a user asked for does not exist. */
export class UnknownOrder extends Error {}
