// Options, and the life of a tracker in one process.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const net = require('node:net')
const libpresence = require('..')
const { startAlone, waitFor } = require('../testing.js')
const { Presence } = libpresence

test('options are checked by the constructor, in both spellings', () => {
  const bad = [{ nope: 1 }, { heartbeatMs: 'x' }, { heartbeat_ms: 1 }, { heartbeatMs: 100, heartbeat_ms: 100 }, { listen: {} }, { join: [1] },
    { listen: 'nowhere' }, { name: Symbol('s') }, { name: 'a\0b' }, { fetch: 1 }, { log: 1 }, { env: 'yes' }, { queueBytes: 1.5 }, null, 7]
  for (const options of bad) {
    assert.throws(() => new Presence(options), { code: 'INVALID_OPTION', name: 'InvalidOption' }, JSON.stringify(options))
  }
  assert.throws(() => new Presence({ heartbeatMs: 1 }), { message: /heartbeat_ms.*20/ })
  assert.throws(() => new Presence({ nope: 1 }), { message: /nope/ })
  new Presence({ heartbeatMs: 100, suspect_ms: 500, join: ['127.0.0.1:7946', '127.0.0.1:7950-7952'], name: undefined })
})

test('the error names the option', () => {
  const named = [[{ nope: 1 }, 'nope'], [{ heartbeatMs: 1 }, 'heartbeat_ms'], [{ heartbeatMs: {} }, 'heartbeatMs'], [{ listen: 'nowhere' }, 'listen'],
    [{ secret: 'x' }, 'secret'], [{ listen: '0.0.0.0:1' }, 'listen'], [{ tlsCert: 'x' }, 'tls_key'], [{ fetch: 1 }, 'fetch'], [{ log: 1 }, 'log'], [{ env: 1 }, 'env']]
  for (const [options, option] of named) assert.throws(() => new Presence(options), { option })
})

test('what is not built yet is refused by name', () => {
  assert.throws(() => new Presence({ natsUrl: 'x' }), { code: 'UNSUPPORTED' })
  new Presence({ insecure: false, leaveGraceMs: 0 })
  new Presence({ leaveGraceMs: 100 })
})

test('beyond loopback only with security', () => {
  for (const options of [{ listen: '0.0.0.0:7946' }, { join: ['192.0.2.1:7946'] }, { listen: '127.0.0.1:0', advertise: '192.0.2.1:1' }]) {
    assert.throws(() => new Presence(options), { code: 'UNSUPPORTED', message: /beyond loopback.*secret.*insecure=1/ })
    new Presence({ ...options, insecure: true })
    new Presence({ ...options, secret: 'correct horse battery staple' })
    new Presence({ ...options, secretFile: '/run/secrets/presence' })
    new Presence({ ...options, tlsCert: 'c.pem', tlsKey: 'k.pem', tlsCa: 'ca.pem', tlsName: 'member.example' })
  }
  const impossible = [{ secret: 'correct horse battery staple', insecure: true }, { secret: 'hunter2' }, { secret: ['correct horse battery, staple of old times'] }, { tlsCert: 'c.pem' }, { tlsName: 'a.example' },
    { secret: 'correct horse battery staple', secretFile: 'f' }, { secretFile: 'f', tlsCert: 'c', tlsKey: 'k', tlsCa: 'a' }, { secret: { hunter2: 1 } }]
  for (const options of impossible) {
    assert.throws(() => new Presence(options), error => error.code === 'INVALID_OPTION' && !/hunter2|horse/.test(error.message + error.stack.split('\n    at')[0]))
  }
})

test('start rejects what the constructor throws and what opening finds', async t => {
  await assert.rejects(Presence.start({ nope: 1 }), { code: 'INVALID_OPTION' })
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.after(() => server.close())
  const users = new Presence({ listen: `127.0.0.1:${server.address().port}` })
  await assert.rejects(users.start(), { code: 'ADDRESS_IN_USE' })
  assert.throws(() => users.count('room'), { code: 'WRONG_STATE' })
  await users.stop()
})

test('the environment is read when asked for', async () => {
  process.env.LIBPRESENCE_HEARTBEAT_MS = 'nonsense'
  try {
    new Presence()
    assert.throws(() => new Presence({ env: true }), { code: 'INVALID_OPTION', message: /LIBPRESENCE_HEARTBEAT_MS/ })
  } finally {
    delete process.env.LIBPRESENCE_HEARTBEAT_MS
  }
})

test('before start and after stop every call says so', async () => {
  const users = new Presence({ transport: 'memory' })
  const calls = {
    owner: () => users.owner(),
    track: () => users.track({}, 'room', 'u1'),
    trackMany: () => users.trackMany({}, []),
    update: () => users.update({}, 'room', 'u1', {}),
    untrack: () => users.untrack({}),
    count: () => users.count('room'),
    topics: () => users.topics(),
    members: () => users.members(),
    stats: () => users.stats(),
    address: () => users.address,
    subscribe: () => users.subscribe('room')
  }
  const promises = { list: () => users.list('room'), getByKey: () => users.getByKey('room', 'u1'), synced: () => users.synced(), settle: () => users.settle() }
  const check = async code => {
    for (const [name, call] of Object.entries(calls)) assert.throws(call, { code }, name)
    for (const [name, call] of Object.entries(promises)) await assert.rejects(call(), { code }, name)
    assert.equal(users.isSynced, false)
  }
  await check('WRONG_STATE')
  assert.equal(await users.start(), users)
  await assert.rejects(users.start(), { code: 'WRONG_STATE' })
  assert.equal(users.stop(), users.stop(), 'one stop')
  await users.stop()
  await check('CLOSED')
  await assert.rejects(users.start(), { code: 'CLOSED' })
})

test('stop without start does nothing', async () => {
  const users = new Presence({ transport: 'memory' })
  await users.stop()
  assert.throws(() => users.count('room'), { code: 'WRONG_STATE' })
  await users.start()
  assert.equal(users.count('room'), 0)
  await users.stop()
  assert.throws(() => users.count('room'), { code: 'CLOSED' })
})

test('a stop that is refused is no stop', async () => {
  const users = await startAlone()
  for (const timeout of ['x', -1, NaN, null]) await assert.rejects(users.stop({ timeout }), { code: 'INVALID_ARGUMENT' })
  assert.equal(users.count('room'), 0, 'it goes on')
  await users.stop()
  assert.throws(() => users.count('room'), { code: 'CLOSED' })
})

test('options that are none are refused, not ignored', async t => {
  const users = await startAlone()
  t.after(() => users.stop())
  const owner = users.owner()
  users.track(owner, 'room', 'u1')
  for (const bad of [5, 'text', true, () => {}]) {
    const code = 'INVALID_ARGUMENT'
    assert.throws(() => users.owner(bad), { code })
    assert.throws(() => users.update(owner, 'room', 'u1', {}, bad), { code })
    assert.throws(() => users.count('room', bad), { code })
    assert.throws(() => users.members(bad), { code })
    assert.throws(() => users.subscribe('room', bad), { code })
    for (const name of ['synced', 'settle', 'stop']) await assert.rejects(users[name](bad), { code }, name)
  }
  await users.settle(null)
})

test('settle is rejected when the tracker stops', async () => {
  const users = await startAlone({ handleDiff: () => new Promise(() => {}) })
  users.track(users.owner(), 'room', 'u1')
  const settling = assert.rejects(users.settle(), { code: 'CLOSED' })
  await users.stop()
  await settling
})

test('a member without seeds is alone and synced; its address has a port', async t => {
  const users = await Presence.start()
  t.after(() => users.stop())
  assert.match(await users.synced({ timeout: 5000 }), /^(alone|synced)$/)
  assert.equal(users.isSynced, true)
  assert.match(users.address, /^127\.0\.0\.1:[1-9]\d*$/)
})

test('synced: an unreachable seed is alone; time and signal end the waiting', async t => {
  const silent = net.createServer(() => {}).listen(0, '127.0.0.1') // accepts and says nothing
  await new Promise(resolve => silent.once('listening', resolve))
  const users = await Presence.start({ join: [`127.0.0.1:${silent.address().port}`], connectTimeoutMs: 60000 })
  t.after(async () => { await users.stop({ timeout: 0 }); silent.close() })
  assert.equal(users.isSynced, false)
  await assert.rejects(users.synced({ timeout: 20 }), { code: 'TIMEOUT', name: 'PresenceTimeout' })
  await assert.rejects(users.synced({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  const ending = new AbortController()
  const waiting = users.synced({ signal: ending.signal })
  ending.abort()
  await assert.rejects(waiting, { name: 'AbortError', code: 'ABORT_ERR' })
  await assert.rejects(users.synced({ timeout: -1 }), { code: 'INVALID_ARGUMENT' })
  await assert.rejects(users.synced({ signal: {} }), { code: 'INVALID_ARGUMENT' })
  const until = assert.rejects(users.synced(), { code: 'CLOSED' })
  await users.stop({ timeout: 0 })
  await until
})

test('an unreachable seed: alone', async t => {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address()
  await new Promise(resolve => server.close(resolve))
  const users = await Presence.start({ join: `127.0.0.1:${port}` })
  t.after(() => users.stop())
  assert.equal(await users.synced({ timeout: 5000 }), 'alone')
})

test('without a subclass the hooks are options', async t => {
  const seen = []
  const users = await startAlone({
    fetch (topic, presences) { return { u1: { self: this === users } } },
    handleDiff (diff) { seen.push(diff) }
  })
  t.after(() => users.stop())
  users.track(users.owner(), 'room', 'u1')
  assert.equal((await users.list('room')).u1.self, true)
  await waitFor(() => seen.length === 1)
  assert.deepEqual(Object.keys(seen[0]), ['room'])
  assert.deepEqual(Object.keys(users), Object.keys(await stopped(startAlone())), 'hooks do not show')
})

async function stopped (starting) {
  const users = await starting
  await users.stop()
  return users
}

test('Symbol.asyncDispose stops', async () => {
  const users = await startAlone()
  await users[Symbol.asyncDispose]()
  assert.throws(() => users.count('room'), { code: 'CLOSED' })
})

test('import and require give the same', async () => {
  const module = await import('../index.mjs')
  assert.deepEqual(Object.keys(module).filter(name => name !== 'default').sort(), Object.keys(libpresence).sort())
  assert.equal(module.Presence, Presence)
  const testing = await import('../testing.mjs')
  assert.deepEqual(Object.keys(testing).sort(), Object.keys(require('../testing.js')).sort())
})
