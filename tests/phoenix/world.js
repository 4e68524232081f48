// What the tests here are made of: servers as child processes, the official client on real sockets, waiting.
'use strict'

const { spawn } = require('node:child_process')
const { createRequire } = require('node:module')
const path = require('node:path')
const readline = require('node:readline')
const { randomUUID } = require('node:crypto')

const root = path.join(__dirname, '../..')
const installed = createRequire(path.join(root, 'node/package.json'))
const { Socket, Presence } = installed('phoenix')
const { RealtimeClient } = installed('@supabase/realtime-js')
const WebSocket = installed('ws')
const { waitFor } = require('../../node/testing.js')

const DEADLINE = 30000
const PYTHON = process.env.LIBPRESENCE_TEST_PYTHON ?? path.join(root, '.venv/bin/python')
const PYTHON_ADAPTERS = ['uvicorn', 'starlette', 'fastapi', 'aiohttp']
const NODE_ADAPTERS = ['ws', 'fastify']

const until = (condition, what) => waitFor(condition, { timeout: DEADLINE, what })

const stacks = new WeakMap()

/** Work for the end of a test: what was made last ends first, clients before their servers, else they try to come back. */
function atEnd (t, work) {
  if (!stacks.has(t)) {
    const stack = []
    stacks.set(t, stack)
    t.after(async () => {
      const failures = []
      for (const end of stack.reverse()) await Promise.resolve().then(end).catch(error => failures.push(error))
      if (failures.length > 0) throw failures[0]
    })
  }
  stacks.get(t).push(work)
}

/** One server process; ask sends a request line and gives the answer. */
class Server {
  #answers = []
  #child

  static async start (adapter, options = {}) {
    const server = new Server()
    await server.#start(adapter, options)
    return server
  }

  async #start (adapter, options) {
    this.adapter = adapter
    this.options = options
    const program = PYTHON_ADAPTERS.includes(adapter) ? [PYTHON, 'server.py'] : [process.execPath, 'server.mjs']
    this.#child = spawn(program[0], [path.join(__dirname, program[1]), JSON.stringify({ adapter, ...options })], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.pid = this.#child.pid
    this.errors = ''
    this.#child.stderr.on('data', data => { this.errors += data })
    this.ended = new Promise(resolve => this.#child.on('close', (code, signal) => {
      for (const { reject } of this.#answers.splice(0)) reject(new Error(`${adapter} ended: ${code ?? signal} ${this.errors}`))
      this.over = true
      resolve(code ?? signal)
    }))
    this.#child.stdin.on('error', () => {})
    readline.createInterface({ input: this.#child.stdout }).on('line', line => this.#answers.shift().resolve(JSON.parse(line)))
    Object.assign(this, await this.#next())
    this.url = `ws://127.0.0.1:${this.port}/socket`
  }

  #next () {
    return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }))
  }

  ask (what, fields = {}) {
    this.#child.stdin.write(JSON.stringify({ do: what, ...fields }) + '\n')
    return this.#next()
  }

  list (topic) { return this.ask('list', { topic }) }

  signal (name) { this.#child.kill(name) }

  /** Ends by itself when its stdin ends. */
  async stop () {
    this.#child.stdin.end()
    return this.ended
  }
}

/** A server of each adapter in one cluster, all of which see each other; options may be a function of (adapter, i). */
async function startServers (t, adapters, options = {}) {
  const cluster = randomUUID()
  const servers = []
  atEnd(t, () => Promise.all(servers.map(server => server.stop())))
  for (const [i, adapter] of adapters.entries()) {
    const own = typeof options === 'function' ? options(adapter, i) : options
    const presence = { cluster, name: `${adapter}-${i}`, heartbeat_ms: 500, join: servers.map(server => server.address), ...own.presence }
    servers.push(await Server.start(adapter, { ...own, presence }))
  }
  const complete = async server => (await server.ask('members')).filter(([, status]) => status === 'up').length === adapters.length
  await until(async () => (await Promise.all(servers.map(complete))).every(Boolean), 'all servers to see each other')
  return servers
}

const V1 = { // what clients of the first version of the wire send and read
  vsn: '1.0.0',
  encode: (message, callback) => callback(JSON.stringify(message)),
  decode: (text, callback) => callback(JSON.parse(text))
}

/** The official client, connected. raw: every message that came, as the wire has it. */
async function connect (t, server, { vsn = '2.0.0', ...options } = {}) {
  const raw = []
  const socket = new Socket(server.url, { transport: WebSocket, ...(vsn === '1.0.0' ? V1 : {}), ...options })
  atEnd(t, () => socket.disconnect())
  socket.onMessage(message => { raw.push(structuredClone(message)) })
  socket.raw = raw
  socket.connect()
  await until(() => {
    if (server.over) throw new Error(`the server has ended: ${server.errors}`)
    return socket.isConnected()
  }, 'the client to connect')
  return socket
}

/** A joined room: its roster by the official Presence, and what it said in order. */
async function enter (socket, topic, params = {}, events) {
  const channel = socket.channel(topic, params)
  const presence = new Presence(channel, events ? { events } : {})
  const said = []
  presence.onJoin((key, current, added) => said.push(['join', key, structuredClone(current), structuredClone(added)]))
  presence.onLeave((key, current, left) => said.push(['leave', key, structuredClone(current), structuredClone(left)]))
  let syncs = 0
  presence.onSync(() => { syncs++ })
  const room = { channel, presence, said, get syncs () { return syncs }, closed: 0, errors: 0 }
  channel.onClose(() => { room.closed++ })
  channel.onError(() => { room.errors++ })
  room.response = await answered(channel.join())
  if (!events) await until(() => syncs > 0, 'the first state')
  return room
}

/** The response of a push or a join; rejects with that of an error. */
function answered (push) {
  return new Promise((resolve, reject) => {
    push.receive('ok', resolve)
    push.receive('error', response => reject(Object.assign(new Error(JSON.stringify(response)), { response })))
    push.receive('timeout', () => reject(new Error('timeout')))
  })
}

/** A client of the test's own, which says what it likes. It sends heartbeats until it is silent. */
class Raw {
  static async open (t, server, vsn = '2.0.0') {
    const raw = new Raw()
    raw.got = []
    raw.socket = new WebSocket(`${server.url}/websocket?vsn=${vsn}`)
    atEnd(t, () => raw.socket.terminate())
    raw.socket.on('message', data => {
      const message = JSON.parse(data)
      if (message[1] !== 'beat' && !String(message[3]).startsWith('presence_')) raw.got.push(message)
    })
    raw.socket.on('close', code => {
      raw.silent()
      raw.code = code
    })
    await new Promise((resolve, reject) => raw.socket.on('open', resolve).on('error', reject))
    raw.beats = setInterval(() => raw.say(null, 'beat', 'phoenix', 'heartbeat', {}), 300)
    return raw
  }

  say (...message) { this.socket.send(JSON.stringify(message)) }

  silent () { clearInterval(this.beats) }

  async next () {
    await until(() => this.got.length > 0, 'a message')
    return this.got.shift()
  }

  async join (topic, params) {
    this.say('1', '1', topic, 'phx_join', params)
    const [,,,, { status }] = await this.next()
    if (status !== 'ok') throw new Error(status)
  }

  async ended () {
    await until(() => this.code !== undefined, 'the end of the socket')
    return this.code
  }
}

/** Limits as the language of the adapter names them. */
function limitsOf (adapter, limits) {
  if (PYTHON_ADAPTERS.includes(adapter)) return limits
  return Object.fromEntries(Object.entries(limits).map(([name, value]) => {
    const inMs = name.endsWith('_seconds')
    const words = name.replace(/_seconds$/, '_ms').split('_')
    return [words[0] + words.slice(1).map(word => word[0].toUpperCase() + word.slice(1)).join(''), inMs ? value * 1000 : value]
  }))
}

const push = (room, event, payload) => answered(room.channel.push(event, payload))

/** {key: {ref: user fields}} of a roster, without the local phx_ref_prev, whatever the order. */
function byRef (presences) {
  const found = Object.create(null)
  for (const key of Object.getOwnPropertyNames(presences).sort()) {
    found[key] = Object.fromEntries(presences[key].metas.map(({ phx_ref: ref, phx_ref_prev: _, ...meta }) => [ref, meta]).sort())
  }
  return found
}

/** Waits until the roster of the client is what the server lists, and that has these keys. */
async function same (room, server, keys) {
  let mine, theirs
  const equal = async () => {
    mine = JSON.stringify(byRef(room.presence.state))
    theirs = await server.list(room.channel.topic)
    return mine === JSON.stringify(byRef(theirs)) && (!keys || JSON.stringify(Object.getOwnPropertyNames(theirs).sort()) === JSON.stringify([...keys].sort()))
  }
  await until(equal).catch(() => { throw new Error(`the roster is ${mine}, the list ${JSON.stringify(theirs)}, wanted ${keys}`) })
}

module.exports = { DEADLINE, NODE_ADAPTERS, PYTHON, PYTHON_ADAPTERS, Presence, Raw, RealtimeClient, Server, Socket, WebSocket, answered, atEnd, byRef, connect, enter, limitsOf, push, root, same, startServers, until }
