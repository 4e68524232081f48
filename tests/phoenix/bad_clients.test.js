// Clients that break the rules, at every adapter: each gets a reply or its socket ends, as at a Phoenix server, its
// presences leave, and the official client beside it notices nothing but that.
'use strict'

const { describe, it } = require('node:test')
const assert = require('node:assert/strict')
const { randomBytes } = require('node:crypto')
const { Balancer } = require('./balancer.js')
const { DEADLINE, Raw, connect, enter, limitsOf, push, same, startServers, until } = require('./world.js')

const LIMITS = { frame_bytes: 4096, events_burst: 200, send_bytes: 500000, close_seconds: 0.5 }
const SILENCE = { idle_seconds: 3 }
const FATAL = [
  ['text that is no JSON', '{"', {}, 1007],
  ['an array of four', '["1","2","room:1","update"]', {}, 1007],
  ['an array of six', '["1","2","room:1","update",{},{}]', {}, 1007],
  ['a message of version 1', '{"topic":"room:1","event":"update","payload":{},"ref":"2"}', {}, 1007],
  ['a topic that is no text', '["1","2",["room:1"],"update",{}]', {}, 1007],
  ['brackets to no end', '['.repeat(4000), {}, 1007],
  ['bytes of no kind', Buffer.from([7, 1, 2, 3]), { binary: true }, 1007],
  ['bytes that promise more', Buffer.from([0, 255, 255, 255, 255, 65]), { binary: true }, 1007],
  ['text that is no UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22]), { binary: false }, 1007],
  ['a frame that is too large', JSON.stringify(['1', '2', 'room:1', 'update', { text: 'x'.repeat(5000) }]), {}, 1009],
  ['bytes that are too many', Buffer.alloc(5000), { binary: true }, 1009]
]

/** A client of the test's own joins beside the official one, does what it should not, and is gone; with what code? */
async function endsAlone (t, server, good, name, misbehave, codes) {
  const bad = await Raw.open(t, server)
  await bad.join('room:1', { user: 'bad' })
  await same(good, server, ['bad', 'good'])
  await misbehave(bad)
  const code = await bad.ended()
  assert.ok([codes].flat().includes(code), `${name}: ${code} ${server.errors}`)
  await same(good, server, ['good'])
}

describe('bad clients', { concurrency: 3 }, () => {
  for (const adapter of ['uvicorn', 'fastapi', 'aiohttp', 'ws', 'fastify']) {
    it(adapter, { timeout: 3 * DEADLINE }, async t => {
      const [server, strict] = await startServers(t, [adapter, adapter], (_, i) => ({ limits: limitsOf(adapter, i === 0 ? LIMITS : SILENCE) }))
      const socket = await connect(t, server)
      const codes = []
      socket.onClose(({ code, reason }) => codes.push(`${code} ${reason}`))
      const good = await enter(socket, 'room:1', { user: 'good' })

      const few = ['fastapi', 'fastify'].includes(adapter) // around the same code as uvicorn and ws
      for (const [name, frame, options, code] of few ? FATAL.slice(-3) : FATAL) {
        await endsAlone(t, server, good, name, bad => bad.socket.send(frame, options), code)
      }
      await endsAlone(t, server, good, 'a flood', bad => {
        for (let i = 0; i < 1000; i++) bad.say(null, `${i}`, 'phoenix', 'heartbeat', {})
      }, [1008, 1006]) // what was not read any more may reset the connection

      await repliesTo(await Raw.open(t, server))
      await silence(t, strict, good, server)
      if (!few) await slow(t, server, good)

      assert.deepEqual([codes, good.errors, good.closed], [[], 0, 0], server.errors)
      assert.deepEqual(await push(good, 'untrack', { user: 'good' }), { left: 1 })
      await until(async () => await server.ask('sockets') === 2, 'the good sockets alone to be open')
    })
  }
})

/** What ends nothing: unknown topics and events, a channel that crashes, a join that is refused or fails. */
async function repliesTo (raw) {
  const error = (joinRef, ref, topic, reason) => [joinRef, ref, topic, 'phx_reply', { status: 'error', response: { reason } }]
  for (const [topic, event, joinRef, reason] of [
    ['nowhere', 'phx_join', null, 'unmatched topic'],
    ['room:2', 'update', null, 'unmatched topic'],
    ['phoenix', 'dance', null, 'unmatched topic'],
    ['__proto__', 'constructor', null, 'unmatched topic']
  ]) {
    raw.say('1', '1', topic, event, {})
    assert.deepEqual(await raw.next(), error(joinRef, '1', topic, reason))
  }
  raw.say('1', '1', 'room:2', 'phx_join', { refuse: true })
  assert.deepEqual(await raw.next(), error('1', '1', 'room:2', 'not you'))
  raw.say('2', '2', 'room:2', 'phx_join', { fail: true })
  assert.deepEqual(await raw.next(), error('2', '2', 'room:2', 'join crashed'))
  await raw.join('room:2', {})
  raw.say('1', '3', 'room:2', 'unheard of', {})
  assert.deepEqual(await raw.next(), error('1', '3', 'room:2', 'unmatched event'))
  raw.say('1', '4', 'room:2', 'crash', {})
  assert.deepEqual(await raw.next(), ['1', '1', 'room:2', 'phx_error', { reason: 'channel_crash' }])
  await raw.join('room:2', {})
}

/** One client says nothing any more; the network of another is gone and nobody says so. */
async function silence (t, strict, good, server) {
  const balancer = await Balancer.start(t, [strict])
  const bad = await Raw.open(t, strict)
  const lost = await Raw.open(t, balancer)
  await bad.join('room:1', { user: 'bad' })
  await lost.join('room:1', { user: 'lost' })
  await same(good, server, ['bad', 'good', 'lost'])
  bad.silent()
  balancer.freeze()
  assert.equal(await bad.ended(), 1001)
  await same(good, server, ['good'])
  await until(async () => await strict.ask('sockets') === 0, 'no socket to be open')
  balancer.cut()
}

/** A client that reads nothing any more while the room is loud: it is closed, all others hear everything. */
async function slow (t, server, good) {
  const balancer = await Balancer.start(t, [server])
  const deaf = await Raw.open(t, balancer)
  await deaf.join('room:1', { user: 'deaf' })
  await same(good, server, ['deaf', 'good'])
  let heard = 0
  good.channel.on('noise', () => { heard++ })
  balancer.freeze({ toServers: false })
  const payload = { text: randomBytes(50000).toString('base64') } // some servers compress what can be compressed
  let said = 0
  await until(async () => {
    await server.ask('broadcast', { topic: 'room:1', event: 'noise', payload })
    said++
    await until(() => heard === said, 'the other to hear it')
    return !Object.hasOwn(good.presence.state, 'deaf')
  }, 'the deaf one to leave')
  await same(good, server, ['good'])
  balancer.cut()
}
