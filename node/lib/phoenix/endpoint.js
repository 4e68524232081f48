// The Endpoint: which channels there are, who may connect, which sockets are open; for node:http servers and Fastify.
'use strict'

const { WebSocketServer } = require('ws')
const { Presence } = require('../presence.js')
const { InvalidArgument } = require('../errors.js').classes
const { Connection } = require('./connection.js')
const { SUBPROTOCOL, handshake, allowedOrigin } = require('./handshake.js')
const { limitsOf } = require('./limits.js')
const { Raw } = require('./messages.js')
const { Patterns } = require('./patterns.js')
const { Refuse } = require('./refuse.js')
const { WsTransport } = require('./ws_transport.js')

class Endpoint {
  #connect
  #checkOrigin
  #connections = new Set()
  #sessions = new Map()
  #lastFrames = new Map()
  #aside = new Set()
  #logged = new Map()
  #log
  #closing = false
  #detach = []
  #socketServer

  /**
   * connect(params, headers), asynchronous or not, gives the assigns of the socket (an object or nothing) or throws
   * Refuse. checkOrigin: true takes pages of this host only, a list these hosts or origins, false all. log(line, error):
   * where failures of handlers go; default process.emitWarning.
   */
  constructor (users, { connect, limits, checkOrigin = true, log } = {}) {
    if (!(users instanceof Presence)) throw new InvalidArgument('an Endpoint needs a Presence')
    if (connect !== undefined && typeof connect !== 'function') throw new InvalidArgument('connect must be a function')
    this.users = users
    this.limits = limitsOf(limits)
    this.patterns = new Patterns()
    this.#connect = connect
    this.#checkOrigin = checkOrigin
    this.#log = log ?? ((line, error) => process.emitWarning(error ? `${line}: ${error?.stack ?? error}` : line, 'PresenceWarning'))
    this.fastify = this.fastify.bind(this)
    this.fastify[Symbol.for('skip-override')] = true
  }

  // ---- what an application calls ----

  /** The handlers of a topic, or with a final "*" of all topics that begin so: { join, event, leave, presence }. */
  channel (pattern, handlers) {
    if (handlers === null || typeof handlers !== 'object') throw new InvalidArgument('a channel is an object of handlers')
    for (const name of ['join', 'event', 'leave']) {
      if (handlers[name] !== undefined && typeof handlers[name] !== 'function') {
        throw new InvalidArgument(`channel ${name} must be a function`)
      }
    }
    this.patterns.add(pattern, handlers)
    return this
  }

  /** To every client in the topic on this server; encoded once. Other servers' clients do not get it. */
  broadcast (topic, event, payload, { but } = {}) {
    const frames = new Map()
    for (const session of [...this.#sessions.get(topic) ?? []]) {
      if (session.socket !== but) session.connection.send(frame(frames, session.connection.serializer, topic, event, payload))
    }
  }

  /** How many sockets are open. */
  get sockets () { return this.#connections.size }

  /** Serves clients at `${path}/websocket` of a node:http server; other upgrades are left to others. */
  attach (server, { path = '/socket' } = {}) {
    if (typeof server?.on !== 'function') throw new InvalidArgument('attach needs an HTTP server')
    const served = `${path.replace(/\/+$/, '')}/websocket`
    const onUpgrade = (request, socket, head) => {
      if (request.url.split('?')[0] === served) this.#upgrade(request, socket, head)
      else if (server.listenerCount('upgrade') === 1) answer(socket, '404 Not Found')
    }
    server.on('upgrade', onUpgrade)
    this.#detach.push(() => server.removeListener('upgrade', onUpgrade))
    return this
  }

  /** A Fastify plugin: app.register(endpoint.fastify, { path: '/socket' }); its sockets close before the server does. */
  async fastify (app, { path } = {}) {
    this.attach(app.server, { path })
    app.addHook('preClose', () => this.close())
  }

  /** Closes all sockets and takes no new ones; resolves when handlers of their end are done. */
  async close () {
    this.#closing = true
    for (const detach of this.#detach.splice(0)) detach()
    for (const connection of [...this.#connections]) connection.close(1012, 'server stops')
    let timer
    const late = new Promise(resolve => { timer = setTimeout(resolve, this.limits.closeMs) })
    await Promise.race([Promise.all(this.#aside), late])
    clearTimeout(timer)
  }

  // ---- upgrades ----

  async #upgrade (request, socket, head) {
    const onError = () => socket.destroy()
    socket.on('error', onError)
    try {
      const shake = handshake(request)
      const assigns = await this.#admit(shake)
      if (socket.destroyed) return
      socket.removeListener('error', onError)
      this.#sockets().handleUpgrade(request, socket, head, accepted => {
        new Connection(this, new WsTransport(accepted), shake.serializer, assigns).run()
      })
    } catch (error) {
      if (!(error instanceof Refuse)) this.report('connect', undefined, error)
      const [status, body] = error instanceof Refuse ? ['403 Forbidden', JSON.stringify(error.response)] : ['500 Internal Server Error', '{}']
      answer(socket, status, body)
    }
  }

  #sockets () {
    return (this.#socketServer ??= new WebSocketServer({
      noServer: true,
      maxPayload: this.limits.frameBytes,
      perMessageDeflate: false,
      handleProtocols: protocols => protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false
    }))
  }

  async #admit (shake) {
    if (this.#closing) throw new Refuse('server stops')
    if (!shake.serializer) throw new Refuse('unknown vsn')
    if (!allowedOrigin(shake.headers, this.#checkOrigin)) throw new Refuse('origin not allowed')
    await this.#complete()
    const assigns = await this.#connected(shake) ?? {}
    if (typeof assigns !== 'object') throw new TypeError('connect must return an object or nothing')
    return assigns
  }

  /**
   * Waits for the first sync: a client that comes back to a server that has just started would take those it does not
   * know yet for gone.
   */
  async #complete () {
    if (this.users.isSynced) return
    try {
      await this.users.synced({ timeout: this.limits.connectMs })
    } catch (error) {
      if (error.code !== 'TIMEOUT') throw error // rather late news than none
    }
  }

  #connected (shake) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.logClose('connect took too long')
        reject(new Refuse('connect took too long'))
      }, this.limits.connectMs)
      const connect = async () => this.#connect?.({ ...shake.params }, shake.headers)
      connect().then(resolve, reject).finally(() => clearTimeout(late))
    })
  }

  // ---- what connections and sessions call ----

  opened (connection) {
    this.#connections.add(connection)
    if (this.#closing) connection.close(1012, 'server stops')
  }

  closed (connection) { this.#connections.delete(connection) }

  joined (session) {
    const sessions = this.#sessions.get(session.topic)
    if (sessions) sessions.add(session)
    else this.#sessions.set(session.topic, new Set([session]))
  }

  left (session) {
    const sessions = this.#sessions.get(session.topic)
    sessions?.delete(session)
    if (sessions?.size === 0) {
      this.#sessions.delete(session.topic)
      this.#lastFrames.delete(session.topic)
    }
  }

  /** The frame of a presence_diff, made once for all sockets that are up to date. */
  diffFrame (topic, event, serializer) {
    let last = this.#lastFrames.get(topic)
    if (last?.event !== event) this.#lastFrames.set(topic, last = { event, frames: new Map() })
    return frame(last.frames, serializer, topic, event.event, new Raw(event.text))
  }

  runAside (promise) {
    this.#aside.add(promise)
    promise.then(() => this.#aside.delete(promise))
  }

  report (what, topic, error) {
    this.#say(topic === undefined ? `${what} failed` : `channel ${JSON.stringify(topic)}: ${what} failed`, error)
  }

  /** At most one line a second for each reason; those are few, and none is of the client's making. */
  logClose (reason) {
    const now = Date.now()
    if (now - (this.#logged.get(reason) ?? -1e9) < 1000) return
    this.#logged.set(reason, now)
    this.#say(`a client's socket was closed: ${reason}`)
  }

  #say (line, error) {
    try {
      this.#log(line, error)
    } catch (problem) {
      process.emitWarning(`the log function of an Endpoint failed: ${problem?.message}`, 'PresenceWarning')
    }
  }
}

/**
 * What a client gets instead of a WebSocket. Its HTTP server has let go of the socket: a reset that nobody listens for
 * would end the process, and a client that leaves its own side open would keep the descriptor.
 */
function answer (socket, status, body = '') {
  socket.on('error', () => socket.destroy())
  socket.once('finish', () => socket.destroy())
  const headers = ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close']
  socket.end(`HTTP/1.1 ${status}\r\n${headers.join('\r\n')}\r\n\r\n${body}`)
}

function frame (frames, serializer, topic, event, payload) {
  let text = frames.get(serializer)
  if (text === undefined) frames.set(serializer, text = serializer.encode(null, null, topic, event, payload))
  return text
}

module.exports = { Endpoint }
