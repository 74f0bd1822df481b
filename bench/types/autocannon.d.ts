/** What the benchmark uses of autocannon, which ships no types. */
declare module 'autocannon' {
  interface Instance extends Promise<{ non2xx: number; errors: number }> {
    on(
      event: 'response',
      listener: (client: unknown, status: number, bytes: number, ms: number) => void,
    ): this
  }
  export default function autocannon(options: {
    url: string
    method: string
    headers: Record<string, string>
    body: string
    connections: number
    overallRate: number
    duration: number
  }): Instance
}
