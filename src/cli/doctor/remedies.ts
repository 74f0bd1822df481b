/** What each fault means, and the configuration that fixes it. docs/proxies.md has the same texts; a test compares them. */

export const proxies = ['nginx', 'HAProxy', 'Caddy', 'Cloudflare'] as const
export type Proxy = (typeof proxies)[number]

export interface Remedy {
  /** What the fault means, in a few sentences. */
  meaning: string
  /** Lines of configuration; lines with `#` say what to look for. */
  lines: Record<Proxy, string>
}

export const remedies = {
  buffered: {
    meaning:
      'A proxy collects the response before it forwards it. Twinrail sends `x-accel-buffering: no`, which nginx obeys unless it is configured to ignore it. Other proxies need a setting.',
    lines: {
      nginx: 'proxy_buffering off;',
      HAProxy:
        '# HAProxy forwards responses as they come, unless there is an\n# `http-response wait-for-body`: remove it.',
      Caddy: 'flush_interval -1  # inside reverse_proxy',
      Cloudflare:
        '# Rules > Configuration Rules: response body buffering None.\n# A Cloudflare Tunnel may still buffer a GET: use WebSocket there.',
    },
  },
  delayed: {
    meaning:
      'Every event is late by about the same time, while another transport is faster: a proxy waits for more data before it sends. HAProxy does so by default, for up to 200 ms.',
    lines: {
      nginx: 'tcp_nodelay on;',
      HAProxy: 'option http-no-delay',
      Caddy: 'flush_interval -1  # inside reverse_proxy',
      Cloudflare: '# Cloudflare does not wait: look for a proxy behind it.',
    },
  },
  compressed: {
    meaning:
      'A proxy compresses the stream and holds it back until its compressor has enough data. The same stream was on time when it was requested without compression.',
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
      'The WebSocket request reached the server as a plain GET, or something else answered it. Everything still works over SSE and long-poll.',
    lines: {
      nginx:
        'proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection "upgrade";',
      HAProxy:
        'timeout tunnel 1h\n# HAProxy forwards upgrades in `mode http`, unless there is an\n# `http-request del-header Upgrade`: remove it.',
      Caddy:
        '# reverse_proxy forwards upgrades, unless there is a\n# `header_up -Upgrade` or `header_up -Connection`: remove it.',
      Cloudflare: '# Network > WebSockets: On.',
    },
  },
  'cut-idle': {
    meaning:
      "A proxy closes connections that are idle for this long. Clients resume at their cursor and lose nothing, but they reconnect again and again. Set the proxy's timeout above the heartbeat (15 s), or start the server with a shorter one (`--heartbeat-ms`).",
    lines: {
      nginx: 'proxy_read_timeout 60s;\nproxy_send_timeout 60s;',
      HAProxy: 'timeout client 60s\ntimeout server 60s\ntimeout tunnel 1h',
      Caddy: 'transport http {  # inside reverse_proxy\n  read_timeout 60s\n}',
      Cloudflare:
        '# Cloudflare allows 100 s of silence, longer than any heartbeat (at most 60 s): look for a proxy behind it.',
    },
  },
  'cut-age': {
    meaning:
      'A proxy closes every connection after this long, whatever is sent on it. Clients resume at their cursor and lose nothing. Heartbeats do not help.',
    lines: {
      nginx: '# nginx has no such limit: look for another proxy, a load balancer or a service mesh.',
      HAProxy: '# HAProxy has no such limit except `hard-stop-after`, which applies after a reload.',
      Caddy: 'servers {  # among the global options\n  timeouts {\n    write 0\n  }\n}',
      Cloudflare: '# Cloudflare has no such limit. It closes connections when its own servers restart.',
    },
  },
  'resume-lost': {
    meaning:
      "A stream that was resumed with `Last-Event-ID` started from the beginning: a proxy strips the header. Twinrail's client drops what it already has. A bare EventSource shows it twice.",
    lines: {
      nginx: 'proxy_set_header Last-Event-ID $http_last_event_id;',
      HAProxy: '# Remove `http-request del-header Last-Event-ID`.',
      Caddy: '# Remove `header_up -Last-Event-ID`.',
      Cloudflare: '# Rules > Transform Rules: delete the rule that removes Last-Event-ID.',
    },
  },
  'restart-final': {
    meaning:
      "A 503 of the server reaches event streams as it is. After a 502, 503 or 504, which proxies send while a server restarts, a bare EventSource never comes back. Let the proxy answer requests for event streams with an empty stream instead, so that they try again. Twinrail's client needs none of this.",
    lines: {
      nginx:
        '# A bare EventSource gives up for good when it gets a 502, 503 or 504.\nproxy_intercept_errors on;\nset $asked $request_method:$http_accept;\nif ($asked ~ ^GET:.*text/event-stream) {\n  error_page 502 503 504 =200 /twinrail-retry;\n}\nlocation = /twinrail-retry {\n  internal;\n  default_type text/event-stream;\n  add_header Cache-Control no-store;\n  return 200 "retry: 2000\\n\\n";\n}',
      HAProxy:
        '# In the frontend:\nuse_backend streams if METH_GET { req.hdr(Accept) -m sub text/event-stream }\n\n# And beside the backend that is there, with the same server:\nbackend streams\n  http-response return status 200 content-type text/event-stream string "retry: 2000\\n\\n" if { status 502 503 504 }\n  http-error status 502 content-type text/event-stream string "retry: 2000\\n\\n"\n  http-error status 503 content-type text/event-stream string "retry: 2000\\n\\n"\n  http-error status 504 content-type text/event-stream string "retry: 2000\\n\\n"\n  http-after-response set-status 200 if { status 502 503 504 }\n  server one 127.0.0.1:8787',
      Caddy:
        '@stream {\n  method GET\n  header Accept *text/event-stream*\n}\nhandle @stream {\n  reverse_proxy 127.0.0.1:8787 {\n    flush_interval -1\n    @away status 502 503 504\n    handle_response @away {\n      header Content-Type text/event-stream\n      respond "retry: 2000\n\n" 200\n    }\n  }\n}\nhandle_errors {\n  handle @stream {\n    header Content-Type text/event-stream\n    header Cache-Control no-store\n    respond "retry: 2000\n\n" 200\n  }\n  respond "{err.status_text}" {err.status_code}\n}\n# Put the reverse_proxy that is there into a block of its own: handle { … }',
      Cloudflare:
        "# Cloudflare's own 502 and 52x pages have no such setting. Put these lines into the proxy behind it;\n# while Cloudflare cannot reach that one either, only Twinrail's client comes back by itself.",
    },
  },
  'page-refused': {
    meaning:
      "A page of this address would be refused: the server compares the page's `Origin` with the request's `Host`, and the proxy changes the `Host`. Forward the `Host`, or start the server with `--origin` and this address.",
    lines: {
      nginx: 'proxy_set_header Host $http_host;',
      HAProxy:
        '# HAProxy forwards the Host, unless there is an\n# `http-request set-header Host`: remove it.',
      Caddy: '# Remove `header_up Host`: Caddy forwards the Host by default.',
      Cloudflare: '# Rules > Origin Rules: delete the rule that sets the Host header.',
    },
  },
  'host-refused': {
    meaning:
      'A server that listens on loopback answers only to loopback host names, as a protection against DNS rebinding. Let a proxy on the same machine send such a name, and list the public address with `--origin`.',
    lines: {
      nginx: 'proxy_set_header Host localhost;',
      HAProxy: 'http-request set-header Host localhost',
      Caddy: 'header_up Host localhost  # inside reverse_proxy',
      Cloudflare:
        '# Rules > Origin Rules: set the Host header to localhost, or set it in the proxy behind Cloudflare.',
    },
  },
} as const satisfies Record<string, Remedy>

export type Remediable = keyof typeof remedies

/** The proxies that are among the names in response headers; all proxies when none of them is. */
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
