/** The assistant's tools, in the form of the AI SDK. The built-in agent and models use the same ones. */
import { z } from 'zod'
import type { Shop } from './shop.ts'

const OrderId = z.object({ orderId: z.string().describe('Four digits, such as 1042') })

export type ToolName = keyof ReturnType<typeof createTools>

export function createTools(shop: Shop) {
  return {
    lookup_order: {
      description: 'Returns an order: item, price, status, carrier.',
      inputSchema: OrderId,
      execute: async ({ orderId }: z.output<typeof OrderId>) => shop.order(orderId),
    },
    search_help: {
      description: "Searches the shop's help pages.",
      inputSchema: z.object({ query: z.string() }),
      execute: async ({ query }: { query: string }) => shop.search(query),
    },
    refund_order: {
      description: 'Refunds the whole price of an order to the customer.',
      inputSchema: OrderId,
      // It moves money: a person has to approve each call.
      needsApproval: true,
      execute: async ({ orderId }: z.output<typeof OrderId>) => shop.refund(orderId),
    },
  }
}
