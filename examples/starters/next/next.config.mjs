/** Forwards the API to the Twinrail server, so that the page and its streams have one origin. */
export default {
  rewrites: async () => [
    { source: '/twinrail/:path*', destination: `${process.env.TWINRAIL_URL ?? 'http://127.0.0.1:8787'}/:path*` },
  ],
}
