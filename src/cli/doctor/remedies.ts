/** What can stand in the way, and the lines that clear it. docs/proxies.md says the same: a test holds it to this. */

export const proxies = ['nginx', 'HAProxy', 'Caddy', 'Cloudflare'] as const
export type Proxy = (typeof proxies)[number]

export interface Remedy {
  /** What it means, in a sentence or two. */
  meaning: string
  /** Lines of configuration, or with `#` what to look for. */
  lines: Record<Proxy, string>
}

export const remedies = {
  buffered: {
    meaning:
      'Something on the way collects the response before it passes it on. Twinrail asks nginx not to, by `x-accel-buffering: no`; others, and an nginx that was told to ignore it, must be told.',
    lines: {
      nginx: 'proxy_buffering off;',
      HAProxy:
        '# HAProxy passes responses on as they come, unless an\n# `http-response wait-for-body` says otherwise: take it out.',
      Caddy: 'flush_interval -1  # inside reverse_proxy',
      Cloudflare:
        '# Rules > Configuration Rules: response body buffering None.\n# A Cloudflare Tunnel may still hold a GET back: take WebSocket there.',
    },
  },
  delayed: {
    meaning:
      'Every event comes late by the same time, though another transport is quicker: something on the way waits a little for more before it sends what it has. HAProxy does by default, for 200 ms.',
    lines: {
      nginx: 'tcp_nodelay on;',
      HAProxy: 'option http-no-delay',
      Caddy: 'flush_interval -1  # inside reverse_proxy',
      Cloudflare: '# Sends what it has: look behind it.',
    },
  },
  compressed: {
    meaning:
      'Something on the way compresses the stream and holds it back until its compressor has enough. The same stream came in time when it was asked for without compression.',
    lines: {
      nginx: 'gzip off;',
      HAProxy:
        '# Name the types, without text/event-stream:\ncompression type text/html text/css application/javascript application/json',
      Caddy: '@whole not header Accept *text/event-stream*\nencode @whole zstd gzip',
      Cloudflare: '# Rules > Compression Rules: for media type text/event-stream, disable compression.',
    },
  },
  upgrade: {
    meaning:
      'The request for a WebSocket reached the server as a plain GET, or something else answered it. Everything still works over SSE and long-poll.',
    lines: {
      nginx:
        'proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection "upgrade";',
      HAProxy:
        'timeout tunnel 1h\n# HAProxy passes upgrades on in `mode http`, unless an\n# `http-request del-header Upgrade` says otherwise: take it out.',
      Caddy:
        '# reverse_proxy passes upgrades on, unless a\n# `header_up -Upgrade` or `header_up -Connection` says otherwise: take it out.',
      Cloudflare: '# Network > WebSockets: On.',
    },
  },
  'cut-idle': {
    meaning:
      'Something on the way closes connections on which nothing was said for so long. Clients come back at their cursor and lose nothing, but they come back all the time. Give it longer than a heartbeat (15 s), or start the server with a shorter one (`--heartbeat-ms`).',
    lines: {
      nginx: 'proxy_read_timeout 60s;\nproxy_send_timeout 60s;',
      HAProxy: 'timeout client 60s\ntimeout server 60s\ntimeout tunnel 1h',
      Caddy: 'transport http {  # inside reverse_proxy\n  read_timeout 60s\n}',
      Cloudflare: '# Allows 100 s of silence, more than any heartbeat (60 s at the most): look behind it.',
    },
  },
  'cut-age': {
    meaning:
      'Something on the way closes every connection when it has reached an age, whatever is said on it. Clients come back at their cursor and lose nothing; heartbeats do not help.',
    lines: {
      nginx: '# nginx knows no such limit: look for another proxy, a load balancer or a service mesh.',
      HAProxy: '# HAProxy knows no such limit but `hard-stop-after`, after a reload.',
      Caddy: 'servers {  # among the global options\n  timeouts {\n    write 0\n  }\n}',
      Cloudflare: '# Has no such limit; it closes connections when its own servers restart.',
    },
  },
  'resume-lost': {
    meaning:
      'A client that came back with `Last-Event-ID` was served from the beginning: the header is stripped. Clients of Twinrail notice and drop what they have; a bare EventSource shows it twice.',
    lines: {
      nginx: 'proxy_set_header Last-Event-ID $http_last_event_id;',
      HAProxy: '# Take out `http-request del-header Last-Event-ID`.',
      Caddy: '# Take out `header_up -Last-Event-ID`.',
      Cloudflare: '# Rules > Transform Rules: take out the one that removes Last-Event-ID.',
    },
  },
  'page-refused': {
    meaning:
      'A page of this very address would be refused: the server compares its `Origin` with the `Host` that it is given, and the proxy gives another. Pass the Host on, or start the server with `--origin` and this address.',
    lines: {
      nginx: 'proxy_set_header Host $http_host;',
      HAProxy:
        '# HAProxy passes the Host on, unless an\n# `http-request set-header Host` says otherwise: take it out.',
      Caddy: '# Take out `header_up Host`: Caddy passes the Host on by itself.',
      Cloudflare: '# Rules > Origin Rules: take out the one that sets the Host header.',
    },
  },
  'host-refused': {
    meaning:
      'A server that listens on loopback answers to loopback names only, so that no foreign name can be made to point to it. Behind a proxy of this machine give it such a name, and list the public address with `--origin`.',
    lines: {
      nginx: 'proxy_set_header Host localhost;',
      HAProxy: 'http-request set-header Host localhost',
      Caddy: 'header_up Host localhost  # inside reverse_proxy',
      Cloudflare:
        '# Rules > Origin Rules: set the Host header to localhost, or do so in the proxy behind it.',
    },
  },
} as const satisfies Record<string, Remedy>

export type Remediable = keyof typeof remedies

/** The proxies among those that named themselves; all when none is known. */
export function proxiesAmong(names: readonly string[]): readonly Proxy[] {
  const known: [RegExp, Proxy][] = [
    [/nginx|openresty/i, 'nginx'],
    [/haproxy/i, 'HAProxy'],
    [/caddy/i, 'Caddy'],
    [/cloudflare/i, 'Cloudflare'],
  ]
  const found = known.filter(([pattern]) => names.some(name => pattern.test(name))).map(([, proxy]) => proxy)
  return found.length > 0 ? found : proxies
}
