/** How the figures are made and what they cannot say, in plain words: the same in the page and in Markdown. */

/** How the table of verdicts is read. */
export const reading =
  'The figures speak for the transport that is better in more of the scenario’s own measures, by at least a fifth, of delays by at least 1 ms, and beyond the spread. They weigh costs on this machine, and only those: what proxies pass, what a page may send and who can read at all is in the guide’s rules, not in figures. The last column tells whether the figures speak against the guide or the teaching text; where they speak for neither, they do not.'

export const method: readonly string[] = [
  'Server, load and proxies are processes of their own. The server is what ships, with its log in memory; every transport carries the same events with the same text.',
  'Each workload sends what it is about: Yjs updates of real editing, moves of a real game, steps of a real training, text of this repository, a sound file in pieces. No message is empty; each seed gives the same events.',
  'The load is an open loop: every event has its time from the start on, and its delay counts from then, so a server that falls behind shows. The delay from when it was really handed over is kept beside it.',
  'Delays go into HdrHistograms, which are merged, never averaged. A percentile is shown where at least ten delays lie beyond it.',
  'After a warm-up come several rounds; in each the variants run in another order. Figures are medians of the rounds, with the quartiles in brackets.',
  'A difference smaller than the spread (the distances between the quartiles of both, together) is called no difference. One of at least 20 %, of delays also of at least 1 ms (any network hides less), counts for a transport; the scenario’s own measures, marked *, have a vote each.',
  'CPU is user and system time of the server’s process per delivered event. Bytes are counted at the socket by a proxy, handshakes apart, in a phase of its own: delays are measured without it.',
  'Memory is the slope of the line through several counts of idle connections, after forced garbage collection; in brackets a standard error to both sides, since resident memory grows in steps of some MiB.',
  'Every client checks number and order of every event. A run is invalid when one event was lost, doubled or out of order, a connection failed, the load was late or busy, or anything was faster than bare sockets.',
]

export const limits: readonly string[] = [
  'Loopback: no network, no loss, no distance. What a round trip more costs (a handshake, a request per command) is larger in the world than here.',
  'Two cores, shared by server, load and proxies: absolute figures are this machine’s. Compare within one run.',
  'The load sends and reads in one thread: what is due while it reads waits for that turn. How late it was is checked and stands with the checks; it is the same for every transport.',
  'The kernel’s work for the receiver’s side of a packet is booked on the sender.',
  'One kind of client, which reads raw sockets: browsers add their own costs.',
  'A p99.9 on a shared machine is mostly the host’s.',
]

/** How to make the same report. */
export const commands = {
  run: 'npm run bench',
  quick: 'npm run bench -- --quick',
  report: 'npm run bench -- report bench/results/<date>.json',
} as const
