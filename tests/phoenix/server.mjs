// A Node server of Phoenix clients for the tests, the same as server.py, over ws on node:http or in Fastify.
//
//     server.mjs '{"adapter": "ws" | "fastify", "presence": {…}, "limits": {…}, "fetch": false}'
//
// Prints one JSON line when it listens, answers one JSON line per line of its stdin, and ends with it.
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import readline from 'node:readline'
import { Presence } from '../../node/index.mjs'
import { Endpoint, Refuse, supabaseChannel } from '../../node/phoenix.mjs'

const options = JSON.parse(process.argv[2])
const calls = [] // what fetch was asked for: [topic, keys]
const tokens = []

class FetchingUsers extends Presence {
  async fetch (topic, presences) {
    calls.push([topic, Object.keys(presences).sort()])
    if (topic.includes('hang')) await new Promise(() => {})
    return Object.fromEntries(Object.entries(presences).map(([key, entry]) => [key, { ...entry, name: key.toUpperCase() }]))
  }
}

const users = await (options.fetch ? FetchingUsers : Presence).start(options.presence)
const endpoint = new Endpoint(users, {
  limits: options.limits,
  log: (line, error) => console.error(line, error?.message ?? ''),
  connect (params) {
    if (params.token === 'wrong') throw new Refuse('wrong token')
    return { user: params.user ?? null, token: params.auth_token ?? null }
  }
})

endpoint.channel('room:*', {
  join (topic, params, socket) {
    if (params.refuse) throw new Refuse('not you')
    if (params.fail) throw new Error('a bug')
    if ('user' in params) socket.track(params.user, params.meta)
    return { server: 'node', ...socket.assigns }
  },
  event (name, payload, socket) {
    if (name === 'track') return { ref: socket.track(payload.user, payload.meta) }
    if (name === 'update') return { ref: socket.update(payload.user, payload.meta) }
    if (name === 'untrack') return { left: socket.untrack(payload.user) }
    if (name === 'shout') return void socket.broadcast('shout', payload)
    if (name === 'crash') throw new Error('a bug')
    throw new Refuse('unmatched event')
  }
})

endpoint.channel('own:*', { // pushes presence under names of its own
  presence: false,
  join (topic, params, socket) { push(topic, socket).catch(() => {}) }, // its signal ended it
  event: (name, payload, socket) => ({ ref: socket.track(payload.user, payload.meta) })
})

async function push (topic, socket) {
  for await (const event of users.subscribe(topic, { signal: socket.signal })) {
    socket.push(event.event.replace('presence', 'people'), event.payload)
  }
}

endpoint.channel('realtime:*', supabaseChannel({
  authorize (topic, token) {
    tokens.push(token ?? null)
    if (token === 'wrong') throw new Refuse('wrong token')
  }
}))

const owner = users.owner() // of what is tracked by request
const answers = {
  list: ({ topic }) => users.list(topic),
  track: ({ topic, user, meta }) => users.track(owner, topic, user, meta),
  renew: ({ topic, prefix, count, size }) => { // with texts that no compression makes small
    users.untrack(owner)
    users.trackMany(owner, Array.from({ length: count }, (_, i) => [topic, `${prefix}${i}`, { text: randomBytes(size).toString('hex') }]))
    return null
  },
  fetches: () => calls,
  resyncs: () => Number(users.stats().resyncs),
  members: () => users.members().map(({ name, status }) => [name, status]),
  sockets: () => endpoint.sockets,
  tokens: () => tokens,
  broadcast: ({ topic, event, payload }) => endpoint.broadcast(topic, event, payload) ?? null
}

const lines = readline.createInterface({ input: process.stdin })
lines.on('line', async line => {
  const request = JSON.parse(line)
  console.log(JSON.stringify(await answers[request.do](request)))
})

const stop = await (options.adapter === 'fastify' ? serveFastify() : serveHttp())
lines.on('close', async () => {
  await stop()
  await users.stop()
})

async function serveHttp () {
  const server = http.createServer()
  endpoint.attach(server)
  await new Promise(resolve => server.listen({ port: options.port ?? 0, host: '127.0.0.1', backlog: 4096 }, resolve))
  hello(server)
  return async () => {
    await endpoint.close()
    await new Promise(resolve => server.close(resolve))
  }
}

async function serveFastify () {
  const { default: fastify } = await import('../../node/node_modules/fastify/fastify.js')
  const app = fastify()
  app.register(endpoint.fastify, { path: '/socket' })
  app.get('/', () => 'hello')
  await app.listen({ port: options.port ?? 0, host: '127.0.0.1' })
  hello(app.server)
  return () => app.close()
}

function hello (server) {
  console.log(JSON.stringify({ port: server.address().port, address: users.address }))
}
