// Owners of every kind: what ends them, what is refused.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const http = require('node:http')
const net = require('node:net')
const { EventEmitter, once } = require('node:events')
const vm = require('node:vm')
const v8 = require('node:v8')
const { Presence, Owner } = require('..')
const { startAlone, waitFor } = require('../testing.js')

async function alone (t, options) {
  const users = await startAlone(options)
  t.after(() => users.stop())
  return users
}

test('an owner takes everything with it, in one diff per topic', async t => {
  const users = await alone(t)
  const owner = users.owner()
  assert.ok(owner instanceof Owner)
  const events = users.subscribe('room')
  await events.next()
  owner.track('room', 'a')
  owner.track('room', 'b')
  owner.track('other', 'a')
  await events.next()
  await events.next()
  assert.equal(owner.closed, false)
  owner.close()
  assert.equal(owner.closed, true)
  const { value } = await events.next()
  assert.deepEqual(Object.keys(value.payload.leaves).sort(), ['a', 'b'])
  assert.deepEqual(value.changes.map(change => change.reason), ['owner_closed', 'owner_closed'])
  assert.equal(users.count('other'), 0)
  owner.close()
  assert.throws(() => users.track(owner, 'room', 'a'), { code: 'OWNER_CLOSED', name: 'OwnerClosed' })
  assert.throws(() => users.trackMany(owner, [['room', 'a']]), { code: 'OWNER_CLOSED' })
  assert.throws(() => users.update(owner, 'room', 'a', {}), { code: 'OWNER_CLOSED' })
  assert.throws(() => users.update(owner, 'room', 'a', meta => meta), { code: 'OWNER_CLOSED' })
  assert.throws(() => owner.touch(), { code: 'OWNER_CLOSED' })
  assert.throws(() => owner.untrack('room', 'a'), { code: 'OWNER_CLOSED' })
  assert.throws(() => owner.untrack(), { code: 'OWNER_CLOSED' })
})

test('an owner has track, update and untrack of its own, and is disposable', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const ref = owner.track('room', 'u1', { n: 1 })
  owner.update('room', 'u1', meta => ({ n: meta.n + 1 }), { ifRef: ref })
  assert.equal((await users.getByKey('room', 'u1')).metas[0].n, 2)
  assert.equal(owner.untrack('room', 'u1'), 1)
  owner.track('room', 'u1')
  owner[Symbol.dispose]()
  assert.equal(users.count('room'), 0)
})

test('a lease runs out unless touched', async t => {
  const users = await alone(t)
  const lost = users.owner({ lease: 40 })
  const kept = users.owner({ lease: 400 })
  users.track(lost, 'room', 'lost')
  users.track(kept, 'room', 'kept')
  const events = users.subscribe('room')
  await events.next()
  const touching = setInterval(() => kept.touch(), 20)
  const { value } = await events.next()
  clearInterval(touching)
  assert.deepEqual(value.changes.map(change => [change.key, change.reason]), [['lost', 'lease']])
  assert.throws(() => users.track(lost, 'room', 'x'), { code: 'OWNER_CLOSED' })
  assert.equal(users.count('room'), 1)
  for (const lease of [0, -1, 1.5, '30', 86400001, NaN]) assert.throws(() => users.owner({ lease }), { code: 'INVALID_ARGUMENT' })
})

test('an AbortSignal ends it', async t => {
  const users = await alone(t)
  const ending = new AbortController()
  users.track(ending.signal, 'room', 'u1')
  users.track(ending.signal, 'room', 'u2')
  ending.abort()
  assert.equal(users.count('room'), 0)
  assert.throws(() => users.track(ending.signal, 'room', 'u1'), { code: 'OWNER_CLOSED' })
  assert.throws(() => users.track(AbortSignal.abort(), 'room', 'u1'), { code: 'OWNER_CLOSED' })
})

test('an emitter of close: one listener, removed by the end', async t => {
  const users = await alone(t)
  const socket = new EventEmitter()
  for (let n = 0; n < 30; n++) users.track(socket, 'room', n)
  assert.equal(socket.listenerCount('close'), 1)
  users.untrack(socket)
  users.track(socket, 'room', 'u1')
  assert.equal(socket.listenerCount('close'), 1)
  socket.emit('close')
  assert.equal(users.count('room'), 0)
  assert.equal(socket.listenerCount('close'), 0)
  assert.throws(() => users.track(socket, 'room', 'u1'), { code: 'OWNER_CLOSED' })
  assert.equal(users.untrack(socket), 0)
})

test('an event target of close', async t => {
  const users = await alone(t)
  const target = new EventTarget()
  users.track(target, 'room', 'u1')
  target.dispatchEvent(new Event('close'))
  assert.equal(users.count('room'), 0)
})

test('stop removes the listeners', async () => {
  const users = await startAlone()
  const socket = new EventEmitter()
  const ending = new AbortController()
  users.track(socket, 'room', 'u1')
  users.track(ending.signal, 'room', 'u1')
  await users.stop()
  assert.equal(socket.listenerCount('close'), 0)
  ending.abort()
  socket.emit('close')
})

test('sockets and responses; a request is refused', async t => {
  const users = await alone(t)
  const refused = []
  const server = http.createServer((req, res) => {
    try { users.track(req, 'room', 'request') } catch (error) { refused.push(error) }
    users.track(res, 'room', 'response')
    users.track(req.socket, 'room', 'socket')
    res.write('x')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const client = net.connect(server.address().port, '127.0.0.1')
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await waitFor(() => users.count('room') === 2)
  assert.equal(refused[0].code, 'INVALID_OWNER')
  assert.match(refused[0].message, /\bres\b.*req\.socket/)
  client.destroy()
  await waitFor(() => users.count('room') === 0)
  assert.throws(() => users.track(client, 'room', 'x'), { code: 'OWNER_CLOSED' })
})

test('what is over already is refused and leaves no trace', async t => {
  const users = await alone(t)
  for (const over of [{ aborted: true }, { destroyed: true }, { closed: true }, { readyState: 2 }, { readyState: 3 }]) {
    const owner = Object.assign(new EventEmitter(), over)
    assert.throws(() => users.track(owner, 'room', 'u1'), { code: 'OWNER_CLOSED' })
    assert.equal(owner.listenerCount('close'), 0)
    assert.equal(users.untrack(owner), 0)
  }
  users.track(Object.assign(new EventEmitter(), { readyState: 1, destroyed: false, closed: Promise.resolve() }), 'room', 'u1')
})

test('what cannot be an owner is refused', async t => {
  const users = await alone(t)
  const other = await alone(t)
  for (const owner of [null, undefined, 1, 'text', true, Symbol('s'), 1n]) {
    assert.throws(() => users.track(owner, 'room', 'u1'), { code: 'INVALID_OWNER', name: 'InvalidOwner' })
    assert.throws(() => users.untrack(owner), { code: 'INVALID_OWNER' })
    assert.throws(() => users.update(owner, 'room', 'u1', {}), { code: 'INVALID_OWNER' })
  }
  assert.throws(() => users.track(other.owner(), 'room', 'u1'), { code: 'INVALID_OWNER', message: /another tracker/ })
  assert.throws(() => users.track({ [Symbol.for('libpresence.owner')]: true }, 'room', 'u1'), { code: 'INVALID_OWNER' })
})

test('any other object leaves when it is collected; identity counts', async t => {
  v8.setFlagsFromString('--expose-gc')
  const gc = vm.runInNewContext('gc')
  const users = await alone(t)
  let object = { id: 1 }
  users.track(object, 'room', 'u1')
  users.track({ id: 1 }, 'room', 'u1')
  assert.equal(users.count('room', { metas: true }), 2)
  await waitFor(() => { gc(); return users.count('room', { metas: true }) === 1 })
  assert.equal(object.id, 1)
  object = undefined
  await waitFor(() => { gc(); return users.count('room') === 0 })
})

test('an emitter that is never closed leaves when it is collected, and is not kept', async t => {
  v8.setFlagsFromString('--expose-gc')
  const gc = vm.runInNewContext('gc')
  const users = await alone(t)
  users.track(new EventEmitter(), 'room', 'u1')
  await waitFor(() => { gc(); return users.count('room') === 0 })
})

test('one object may be an owner of two trackers', async t => {
  const [one, two] = [await alone(t), await alone(t)]
  const socket = new EventEmitter()
  one.track(socket, 'room', 'u1')
  two.track(socket, 'room', 'u1')
  socket.emit('close')
  assert.equal(one.count('room') + two.count('room'), 0)
  assert.ok(one instanceof Presence)
})
