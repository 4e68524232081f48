// Compiled, never run: the types of the channel endpoint.
import { createServer } from 'node:http'
import fastify from 'fastify'
import { Presence } from 'libpresence'
import { Endpoint, Refuse, supabaseChannel, type Channel, type Socket } from 'libpresence/phoenix'

const users = await Presence.start({ transport: 'memory' })
const endpoint = new Endpoint(users, {
  connect: async (params, headers) => {
    if (params['token'] === undefined || headers.authorization === '') throw new Refuse({ reason: 'token', code: 7 })
    return { user: params['user'] }
  },
  limits: { frameBytes: 1000, connectMs: 500 },
  checkOrigin: ['https://app.example'],
  log: (line: string, error?: unknown) => console.error(line, error)
})

const room: Channel = {
  join (topic: string, params: { user: string }, socket: Socket) {
    const ref: string = socket.track(params.user, { status: 'online' })
    socket.signal.addEventListener('abort', () => console.log(socket.id, socket.topic, socket.joinRef, socket.closed, topic))
    return { ref, user: socket.assigns['user'] }
  },
  async event (name, payload, socket) {
    socket.update(payload.user, meta => ({ ...meta, name }), { ifRef: 'x' })
    socket.push('hello', payload)
    socket.broadcast('hello', payload)
    socket.broadcastFrom('hello', payload)
    return { left: socket.untrack(payload.user) + socket.untrack() }
  },
  leave: (reason: string, socket) => { void [reason, socket.owner] },
  presence: false
}
endpoint.channel('room:*', room).channel('realtime:*', supabaseChannel({ authorize: (topic, token) => { if (!token) throw new Refuse(topic) } }))
endpoint.attach(createServer(), { path: '/socket' }).broadcast('room:1', 'news', {})
await fastify().register(endpoint.fastify, { path: '/socket' })
const open: number = endpoint.sockets
await endpoint.close()
void [open, endpoint.limits.idleMs, endpoint.users]

// @ts-expect-error no such limit
void new Endpoint(users, { limits: { frame_bytes: 1 } })
// @ts-expect-error a Presence is missing
void new Endpoint({})
// @ts-expect-error handlers are an object
endpoint.channel('room:1', () => {})
