// handleDiff, handleMetas, handleMember, handleResync and listeners: order, content, errors, bounds.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { Presence } = require('..')
const { startAlone, waitFor } = require('../testing.js')

async function watched (t, Class, options = {}) {
  const lines = []
  const users = await startAlone({ log: (line, details) => { if (details.callback) lines.push([line, details]) }, ...options }, Class)
  users.lines = lines
  t.after(() => users.stop())
  return users
}

test('handleDiff gets the shape of Phoenix, changes beside it; handleMetas the topic as it was then', async t => {
  const seen = []
  class Users extends Presence {
    rooms = new Map()
    handleDiff (diff) { seen.push(['diff', diff, this === users]) }
    handleMetas (topic, diff, presences) { seen.push(['metas', topic, diff, presences]); this.rooms.set(topic, presences) }
  }
  const users = await watched(t, Users)
  const owner = users.owner()
  const first = users.track(owner, 'room', 'u1', { n: 1 })
  const second = users.update(owner, 'room', 'u1', { n: 2 })
  const list = await users.list('room')
  users.untrack(owner)
  await users.settle()
  assert.deepEqual(seen.map(([what]) => what), ['diff', 'metas', 'diff', 'metas', 'diff', 'metas'])
  const join = { joins: { u1: { metas: [{ n: 1, phx_ref: first }] } }, leaves: {} }
  assert.deepEqual(seen[0], ['diff', { room: join }, true])
  assert.equal(JSON.stringify(seen[0][1]), JSON.stringify({ room: join }))
  assert.deepEqual(seen[0][1].room.changes.map(({ kind, key }) => [kind, key]), [['join', 'u1']])
  assert.deepEqual(seen[1].slice(1), ['room', join, { u1: { metas: [{ n: 1, phx_ref: first }] } }])
  assert.deepEqual(seen[3][3], { u1: { metas: [{ n: 2, phx_ref: second, phx_ref_prev: first }] } })
  assert.deepEqual(seen[3][3], list)
  assert.deepEqual(seen[5][3], {})
})

test('handleMetas after each diff is what list said then', async t => {
  const states = []
  class Users extends Presence {
    fetch (topic, presences) { return Object.fromEntries(Object.keys(presences).map(key => [key, { user: key }])) }
    handleMetas (topic, diff, presences) { states.push(JSON.stringify(sorted(presences))) }
  }
  const users = await watched(t, Users)
  const owners = Array.from({ length: 5 }, () => users.owner())
  const want = []
  let seed = 7
  const dice = n => (seed = (seed * 1103515245 + 12345) % 2147483648) % n
  for (let step = 0; step < 200; step++) {
    const owner = owners[dice(5)]
    const key = `k${dice(4)}`
    const before = users.stats()
    try {
      if (dice(3) === 0) users.untrack(owner, 'room', key)
      else if (dice(2) === 0) users.update(owner, 'room', key, { step })
      else users.track(owner, 'room', key, { step })
    } catch (error) {
      assert.match(error.code, /TRACKED/)
    }
    const after = users.stats()
    if (['joins', 'updates', 'leaves'].every(name => before[name] === after[name])) continue
    want.push(JSON.stringify(sorted(await users.list('room'))))
  }
  await users.settle()
  assert.deepEqual(states, want)
})

function sorted (presences) {
  return Object.entries(presences).sort(([a], [b]) => a < b ? -1 : 1).map(([key, entry]) => [key, entry.user, entry.metas.map(({ phx_ref: ref, phx_ref_prev: prev, step }) => [ref, prev, step])])
}

test('handleDiff is called one at a time, with what became ready meanwhile, never reordered', async t => {
  const seen = []
  let running = 0
  let open
  class Users extends Presence {
    async handleDiff (diff) {
      assert.equal(++running, 1)
      seen.push(Object.fromEntries(Object.entries(diff).map(([topic, { joins }]) => [topic, Object.keys(joins)])))
      if (seen.length === 1) await new Promise(resolve => { open = resolve })
      running--
    }
  }
  const users = await watched(t, Users)
  const owner = users.owner()
  users.track(owner, 'a', 'k0')
  await waitFor(() => open)
  for (const key of ['k1', 'k2']) for (const topic of ['a', 'b']) users.track(owner, topic, key)
  const quick = users.subscribe('a')
  await quick.next()
  users.track(owner, 'a', 'k3')
  assert.equal((await quick.next()).value.changes[0].key, 'k3', 'a subscriber does not wait for it')
  open()
  await users.settle()
  assert.deepEqual(seen, [{ a: ['k0'] }, { a: ['k1'], b: ['k1'] }, { a: ['k2'], b: ['k2'] }, { a: ['k3'] }])
})

test('a callback that throws is logged once with topic and name, and the next one is called', async t => {
  const seen = []
  class Users extends Presence {
    async handleDiff (diff) { seen.push('diff'); throw new Error('diff broke') }
    handleMetas () { seen.push('metas'); throw new Error('metas broke') }
  }
  const users = await watched(t, Users)
  users.on('diff', () => { throw new Error('listener broke') })
  users.on('diff', () => seen.push('listener'))
  users.on('diff', async () => { throw new Error('async listener broke') })
  users.track(users.owner(), 'room', 'u1')
  await users.settle()
  assert.deepEqual(seen, ['diff', 'listener', 'metas'])
  assert.deepEqual(users.lines.map(([, { callback, topic, error }]) => [callback, topic, error.message]).sort(), [
    ["a listener of 'diff'", 'room', 'async listener broke'],
    ["a listener of 'diff'", 'room', 'listener broke'],
    ['handleDiff', 'room', 'diff broke'],
    ['handleMetas', 'room', 'metas broke']
  ])
  assert.match(users.lines[0][0], /room/)
})

test('errors go to process.emitWarning by default, or to an object with warn; a broken log does no harm', async t => {
  const warnings = []
  const onWarning = warning => warnings.push(warning)
  process.on('warning', onWarning)
  t.after(() => process.off('warning', onWarning))
  const users = await startAlone({ handleDiff () { throw new Error('broke') } })
  t.after(() => users.stop())
  users.track(users.owner(), 'room', 'u1')
  await waitFor(() => warnings.length === 1)
  assert.equal(warnings[0].name, 'PresenceWarning')
  assert.match(warnings[0].message, /handleDiff.*room[^]*broke/)

  const lines = []
  const logger = { warn (line) { lines.push(line); throw new Error('disk full') } }
  const other = await startAlone({ handleDiff () { throw new Error('broke') }, log: logger })
  t.after(() => other.stop())
  other.track(other.owner(), 'room', 'u1')
  await waitFor(() => warnings.length === 2)
  assert.match(warnings[1].message, /disk full/)
  assert.equal(lines.length, 1)
})

test('a callback that hangs: others go on, what waits is bounded, then the difference is delivered', async t => {
  const given = []
  let open
  class Users extends Presence {
    async handleDiff (diff) {
      given.push(diff)
      if (given.length === 1) await new Promise(resolve => { open = resolve })
    }
  }
  const users = await watched(t, Users, { callbackQueue: 20 })
  const owner = users.owner()
  const stays = users.track(owner, 'room', 'stays', { n: 1 })
  await waitFor(() => open)
  const subscriber = users.subscribe('room')
  await subscriber.next()
  for (let n = 0; n < 100; n++) {
    users.track(owner, 'room', `k${n}`, { n })
    await subscriber.next()
    if (n % 2) users.untrack(owner, 'room', `k${n}`)
    if (n % 2) await subscriber.next()
  }
  const updated = users.update(owner, 'room', 'stays', { n: 2 })
  open() // the state is read before the diff of this update comes by: it must not be given twice
  await waitFor(() => given.length > 1)
  await users.settle()
  const keys = new Map()
  for (const { room } of given) {
    for (const change of room.changes) {
      if (change.kind === 'leave') assert.ok(keys.delete(change.ref))
      else { if (change.prev_ref) keys.delete(change.prev_ref); assert.ok(!keys.has(change.ref)); keys.set(change.ref, change.key) }
    }
  }
  const list = await users.list('room')
  assert.deepEqual([...keys.values()].sort(), Object.keys(list).sort())
  assert.ok(given.length < 30)
  const change = given.flatMap(({ room }) => room.changes).find(({ kind }) => kind === 'update')
  assert.deepEqual([change.ref, change.prev_ref, change.meta, change.prev_meta], [updated, stays, { n: 2 }, { n: 1 }])
  const diff = given.find(({ room }) => room.changes.includes(change)).room
  assert.equal(diff.joins.stays.metas[0].phx_ref_prev, stays)
  assert.equal(diff.leaves.stays.metas[0].phx_ref, stays)
  assert.ok(users.stats().resyncs >= 1)
  assert.deepEqual(users.lines, [])
})

test('handleResync may be overridden: it gets the state, fetched, instead of the difference', async t => {
  const calls = []
  let open
  class Users extends Presence {
    fetch (topic, presences) { return Object.fromEntries(Object.keys(presences).map(key => [key, { user: key }])) }
    async handleDiff (diff) {
      calls.push('diff')
      if (!open) await new Promise(resolve => { open = resolve })
    }

    handleResync (topic, presences) { calls.push([topic, presences]) }
  }
  const users = await watched(t, Users, { callbackQueue: 10 })
  const told = []
  users.on('resync', topic => told.push(topic))
  const owner = users.owner()
  users.track(owner, 'room', 'first')
  await waitFor(() => open)
  for (let n = 0; n < 40; n++) users.track(owner, 'room', `k${n}`)
  const subscriber = users.subscribe('other')
  await subscriber.next()
  users.track(owner, 'other', 'mark')
  await subscriber.next()
  await waitFor(() => users.stats().resyncs > 0)
  open()
  await users.settle()
  const resync = calls.find(call => Array.isArray(call))
  assert.equal(resync[0], 'room')
  assert.deepEqual(resync[1], await users.list('room'))
  assert.equal(resync[1].k0.user, 'k0')
  assert.ok(told.includes('room'))
  calls.length = 0
  users.track(owner, 'room', 'after')
  await users.settle()
  assert.deepEqual(calls, ['diff'])
})

test('a listener of diff that comes late hears what happens from then on', async t => {
  const users = await startAlone()
  t.after(() => users.stop())
  const owner = users.owner()
  users.track(owner, 'room', 'before')
  const seen = []
  users.once('diff', diff => seen.push(diff))
  users.on('diff', diff => seen.push(diff))
  users.track(owner, 'room', 'after')
  await users.settle()
  assert.deepEqual(seen.map(({ room }) => Object.keys(room.joins)), [['after'], ['after']])
  users.untrack(owner, 'room', 'before')
  await users.settle()
  assert.equal(seen.length, 3)
})

test('stop waits for no callback that hangs', async t => {
  let entered
  const inside = new Promise(resolve => { entered = resolve })
  const users = await Presence.start({ transport: 'memory', handleDiff () { entered(); return new Promise(() => {}) } })
  const owner = users.owner()
  users.ref()
  users.track(owner, 'room', 'u1')
  await inside
  await users.stop({ timeout: 100 })
  assert.throws(() => users.count('room'), { code: 'CLOSED' })
  owner.close()
})

test('callbacks may call every method, also stop', async t => {
  let done
  const ended = new Promise(resolve => { done = resolve })
  class Users extends Presence {
    async handleDiff (diff) {
      assert.equal(Object.keys(await this.list('room')).length, this.count('room'))
      if (this.count('room') < 3) this.track(this.me, 'room', this.count('room'))
      else await this.stop().then(done, done)
    }
  }
  const users = await watched(t, Users)
  users.me = users.owner()
  users.ref()
  users.track(users.me, 'room', 'u1')
  assert.equal(await ended, undefined)
  assert.throws(() => users.count('room'), { code: 'CLOSED' })
  assert.deepEqual(users.lines, [])
})

const unshowable = [
  ['a symbol', () => Symbol('odd')],
  ['an object without a prototype', () => Object.create(null)],
  ['an object whose text throws', () => ({ toString () { throw new Error('toString') }, get stack () { throw new Error('stack') } })],
  ['an error whose stack throws', () => Object.defineProperty(new Error('mine'), 'stack', { get () { throw new Error('stack') } })],
  ['a proxy that throws', () => new Proxy({}, { get () { throw new Error('get') }, getPrototypeOf () { throw new Error('prototype') } })],
  ['nothing', () => undefined]
]

test('whatever a callback throws is logged, and the next one is called', async t => {
  for (const [what, make] of unshowable) {
    const throwing = () => { throw make() }
    const users = await watched(t, Presence, { fetch: throwing, handleDiff: throwing, handleMetas: throwing })
    const owner = users.owner()
    users.track(owner, 'room', 'u1')
    await users.settle()
    users.track(owner, 'room', 'u2')
    await users.settle()
    assert.equal(Object.keys(await users.list('room')).length, 2, what)
    const names = users.lines.map(([line, { callback }]) => { assert.equal(typeof line, 'string'); return callback })
    assert.deepEqual(names, ['fetch', 'handleDiff', 'handleMetas', 'fetch', 'handleDiff', 'handleMetas', 'fetch'], what)
  }
})

test('a log option that throws or rejects, whatever, is warned of once per line', async t => {
  const warnings = []
  const onWarning = warning => warnings.push(warning.message)
  process.on('warning', onWarning)
  t.after(() => process.off('warning', onWarning))
  for (const log of [() => { throw Symbol('odd') }, async () => { throw Object.create(null) }, { async warn () { throw new Error('mine') } }]) {
    warnings.length = 0
    const users = await startAlone({ log, handleDiff () { throw new Error('broke') } })
    t.after(() => users.stop())
    users.track(users.owner(), 'room', 'u1')
    await users.settle()
    await waitFor(() => warnings.length > 0)
    assert.match(warnings[0], /log option failed.*it was given: .*handleDiff/s)
  }
})

test('settle inside of a callback waits for all but the callbacks', async t => {
  const seen = []
  class Users extends Presence {
    async fetch (topic, presences) {
      await this.settle()
      return Object.fromEntries(Object.keys(presences).map(key => [key, { user: key }]))
    }

    async handleDiff ({ room }) {
      await this.settle()
      seen.push(`diff ${Object.keys(room.joins)}`)
    }

    async handleMetas () {
      await Promise.all([this.settle(), this.list('room').then(() => this.settle())])
      seen.push('metas')
    }

    async handleMember () { await this.settle() }
  }
  const users = await watched(t, Users)
  users.on('diff', async () => { await users.settle(); seen.push('listener') })
  const owner = users.owner()
  users.track(owner, 'room', 'u1')
  await waitFor(() => seen.length === 3)
  users.track(owner, 'room', 'u2')
  await users.settle()
  await waitFor(() => seen.length === 6)
  assert.deepEqual(seen.filter(what => what !== 'listener'), ['diff u1', 'metas', 'diff u2', 'metas'])
  assert.deepEqual(users.lines, [])
})

test('settle of what a callback began, and of another tracker, waits for what is running by then', async t => {
  let open
  const gate = new Promise(resolve => { open = resolve })
  const seen = []
  let began
  const users = await watched(t, Presence, {
    async handleDiff ({ room }) {
      if (room.joins.first) setImmediate(() => { began = users.settle().then(() => seen.push('began')) })
      if (room.joins.second) await gate
      seen.push(Object.keys(room.joins)[0])
    }
  })
  const other = await watched(t, Presence, { async handleDiff () { await users.settle(); seen.push('other') } })
  const owner = users.owner()
  users.track(owner, 'room', 'first')
  users.track(owner, 'room', 'second')
  other.track(other.owner(), 'room', 'x')
  await waitFor(() => began !== undefined)
  open()
  await Promise.all([began, other.settle()])
  assert.deepEqual(seen.slice(0, 2), ['first', 'second'])
  assert.deepEqual(seen.slice(2).sort(), ['began', 'other'])
})
