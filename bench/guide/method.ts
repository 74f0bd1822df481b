/** The report's texts about method and limits. */

/** How to read the table of verdicts. */
export const reading =
  'The figures favour the transport that is better in more of the scenario’s own measures: by at least 20 %, for delays also by at least 1 ms, and beyond the spread. Figures with a round trip are of a run of their own, through a proxy that delays; all others compare costs on this machine only; what proxies let through, what a page may send and which clients can read a stream is covered by the guide’s rules. The last column shows whether the figures contradict the guide or the tutorial; figures that favour neither transport contradict neither. The tutorial is an introduction to streaming protocols that this guide was checked against: it recommends a transport, with a reason, for the first five scenarios.'

export const method: readonly string[] = [
  'Server, load and proxies are separate processes. The server is the published one, with its log in memory; every transport carries the same events with the same text.',
  'The events are what such an application sends: Yjs updates of editing, moves of games, steps of trainings, text of this repository, a sound file in pieces. Recordings of them are in `bench/traces`. No message is empty; each seed gives the same events.',
  'The load is an open loop: the time of every event is fixed at the start, and its delay counts from then, so a server that falls behind shows. The delay from the actual sending is kept as well.',
  'Delays go into HdrHistograms, which are merged, never averaged. A percentile is shown where at least ten delays lie beyond it.',
  'After a warm-up there are several rounds, each with the variants in another order. Figures are medians of the rounds, with the quartiles in brackets.',
  'A difference smaller than the spread (the sum of both interquartile ranges) is called no difference. One of at least 20 %, and for delays at least 1 ms (any network hides less), counts for a transport; each of the scenario’s own measures, marked *, has one vote.',
  'CPU is user and system time of the server process per delivered event. Bytes are counted at the socket by a proxy, handshakes separately, in a phase of their own: delays are measured without the proxy.',
  'Memory is the slope of the line through several counts of idle connections, after forced garbage collection; in brackets one standard error to both sides, since resident memory grows in steps of some MiB.',
  'Every client checks number and order of every event. A run is invalid when one event was lost, doubled or out of order, a connection failed, the load was late or busy, or anything was faster than bare sockets. A machine that is too slow makes it invalid, too.',
]

export const limits: readonly string[] = [
  'Loopback: no network, no loss, no distance, but for the figures with a round trip, which are of an imitated network: the scenario `networks`.',
  'Two cores, shared by server, load and proxies: absolute figures are this machine’s. Compare within one run.',
  'The load sends and reads in one thread: an event that is due while it reads has to wait. Its lateness is checked and listed with the checks; it is the same for every transport.',
  'On loopback the kernel accounts the receiver’s share of a packet to the sender.',
  'One kind of client, which reads raw sockets: browsers add their own costs.',
  'A p99.9 on a shared machine mostly shows the host.',
]

/** How to make the same report. */
export const commands = {
  run: 'npm run bench',
  quick: 'npm run bench -- --quick',
  report: 'npm run bench -- report bench/results/<date>.json',
} as const
