// What a client says before its socket is accepted: parameters, version, token, origin.
'use strict'

const { serializerOf } = require('./messages.js')

const SUBPROTOCOL = 'phoenix'
const TOKEN = 'base64url.bearer.phx.'
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/** params: of the query; auth_token: the token of the subprotocols. serializer undefined: vsn is unknown. */
function handshake (request) {
  const url = new URL(request.url, 'http://host')
  const params = Object.create(null)
  for (const [name, value] of url.searchParams) params[name] = value
  for (const protocol of (request.headers['sec-websocket-protocol'] ?? '').split(',').map(part => part.trim())) {
    if (protocol.startsWith(TOKEN)) params.auth_token = Buffer.from(protocol.slice(TOKEN.length), 'base64url').toString()
  }
  return { path: url.pathname, params, headers: request.headers, serializer: serializerOf(params.vsn ?? '1.0.0') }
}

/** Browsers send where a page is from; others send nothing and are let in. */
function allowedOrigin (headers, allowed) {
  const { origin } = headers
  if (origin === undefined || allowed === false) return true
  const host = hostOf(origin)
  const entries = allowed === true ? [headers.host ?? ''] : allowed
  const hosts = entries.map(entry => hostOf(entry.includes('//') ? entry : `http://${entry}`))
  return entries.includes(origin) || (host !== undefined && hosts.includes(host))
}

function hostOf (url) {
  try {
    const { hostname } = new URL(url)
    return LOOPBACK.has(hostname) ? 'localhost' : hostname
  } catch {
    return undefined
  }
}

module.exports = { SUBPROTOCOL, handshake, allowedOrigin }
