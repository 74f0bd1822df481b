/** The address of the server: that of the page, which may be below a prefix. */
export const baseUrl = new URL('.', location.href).href.replace(/\/$/, '')
