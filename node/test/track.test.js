// track, update, untrack, list, getByKey, count, topics: one member alone.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { Presence, PresenceError } = require('..')
const { startAlone } = require('../testing.js')

async function alone (t, options, Class) {
  const users = await startAlone(options, Class)
  t.after(() => users.stop())
  return users
}

test('what is tracked is listed at once, with its ref', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const ref = users.track(owner, 'room:1', 'u1', { status: 'online' })
  assert.match(ref, /^[\w-]{20,}$/)
  assert.deepEqual(await users.list('room:1'), { u1: { metas: [{ status: 'online', phx_ref: ref }] } })
  assert.deepEqual(await users.getByKey('room:1', 'u1'), { metas: [{ status: 'online', phx_ref: ref }] })
  assert.equal(await users.getByKey('room:1', 'nobody'), null)
  assert.deepEqual(await users.list('elsewhere'), {})
  assert.deepEqual(users.topics(), ['room:1'])
})

test('one key may have many metas, in the order of tracking; an update keeps its place', async t => {
  const users = await alone(t)
  const owners = [users.owner(), users.owner(), users.owner()]
  const refs = owners.map((owner, n) => users.track(owner, 'room', 'u1', { n }))
  assert.equal(users.count('room'), 1)
  assert.equal(users.count('room', { metas: true }), 3)
  refs[1] = users.update(owners[1], 'room', 'u1', { n: 'new' })
  const { u1 } = await users.list('room')
  assert.deepEqual(u1.metas.map(meta => meta.n), [0, 'new', 2])
  assert.deepEqual(u1.metas.map(meta => meta.phx_ref), refs)
})

test('update: a meta, a function, only if the ref is current, the same again is nothing', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const first = users.track(owner, 'room', 'u1', { n: 1 })
  const second = users.update(owner, 'room', 'u1', { n: 2 })
  assert.notEqual(second, first)
  assert.equal(users.update(owner, 'room', 'u1', { n: 2 }), second)
  assert.throws(() => users.update(owner, 'room', 'u1', { n: 3 }, { ifRef: first }), { code: 'STALE_REF' })
  const third = users.update(owner, 'room', 'u1', { n: 3 }, { ifRef: second })
  let given
  const fourth = users.update(owner, 'room', 'u1', meta => { given = meta; return { ...meta, away: true } }, { ifRef: third })
  assert.deepEqual(given, { n: 3 })
  assert.throws(() => users.update(owner, 'room', 'u1', meta => meta, { ifRef: third }), { code: 'STALE_REF' })
  assert.equal((await users.getByKey('room', 'u1')).metas[0].phx_ref, fourth)
  assert.deepEqual((await users.list('room')).u1.metas.map(({ n, away }) => [n, away]), [[3, true]])
})

test('an update function that throws, waits or gives nothing changes nothing', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const ref = users.track(owner, 'room', 'u1', { n: 1 })
  assert.throws(() => users.update(owner, 'room', 'u1', () => { throw new RangeError('mine') }), RangeError)
  assert.throws(() => users.update(owner, 'room', 'u1', async meta => meta), { code: 'INVALID_META', message: /promise/ })
  assert.throws(() => users.update(owner, 'room', 'u1', async () => { throw new Error('nobody looks') }), { code: 'INVALID_META' })
  for (const nothing of [undefined, null]) {
    assert.throws(() => users.update(owner, 'room', 'u1', () => nothing), { code: 'INVALID_META' })
    assert.throws(() => users.update(owner, 'room', 'u1', nothing), { code: 'INVALID_META' })
  }
  await new Promise(setImmediate) // an unhandled rejection would end the test
  assert.equal((await users.getByKey('room', 'u1')).metas[0].phx_ref, ref)
})

test('an update function that updates behind its own back is called again, but for ifRef', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const ref = users.track(owner, 'room', 'u1', { n: 1 })
  const change = meta => {
    if (meta.n < 4) users.update(owner, 'room', 'u1', { n: meta.n + 1 })
    return { ...meta, changed: true }
  }
  assert.throws(() => users.update(owner, 'room', 'u1', change, { ifRef: ref }), { code: 'STALE_REF' })
  const last = users.update(owner, 'room', 'u1', change)
  assert.deepEqual((await users.getByKey('room', 'u1')).metas.map(({ n, changed, phx_ref: ref }) => [n, changed, ref]), [[4, true, last]])
  assert.throws(() => users.update(owner, 'room', 'u1', meta => { users.untrack(owner); return meta }), { code: 'NOT_TRACKED' })
  assert.equal(users.count('room'), 0)
})

test('what list returned may be given back: refs are dropped on the way in', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const ref = users.track(owner, 'room', 'u1', { n: 1, phx_ref: 'x', phx_ref_prev: 'y' })
  const [meta] = (await users.getByKey('room', 'u1')).metas
  assert.deepEqual(meta, { n: 1, phx_ref: ref })
  assert.equal(users.update(owner, 'room', 'u1', meta), ref)
  assert.deepEqual(meta, { n: 1, phx_ref: ref }, 'what was given is left alone')
})

test('untrack says how many it removed; another owner, another key: none', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const other = users.owner()
  for (const key of ['a', 'b', 'c']) users.track(owner, 'room', key)
  assert.equal(users.untrack(other, 'room', 'a'), 0)
  assert.equal(users.untrack(owner, 'room', 'nobody'), 0)
  assert.equal(users.untrack(owner, 'room', 'a'), 1)
  assert.equal(users.untrack(owner, 'room', 'a'), 0)
  assert.equal(users.untrack(owner), 2)
  assert.equal(users.untrack(owner), 0)
  assert.deepEqual(await users.list('room'), {})
  users.track(owner, 'room', 'a')
  assert.equal(users.count('room'), 1, 'the owner stays open')
})

test('only the owner of an entry can change it, and only once can it track it', async t => {
  const users = await alone(t)
  const owner = users.owner()
  users.track(owner, 'room', 'u1')
  assert.throws(() => users.track(owner, 'room', 'u1'), { code: 'ALREADY_TRACKED', name: 'AlreadyTracked' })
  assert.throws(() => users.update(users.owner(), 'room', 'u1', {}), { code: 'NOT_TRACKED' })
  assert.throws(() => users.update(users.owner(), 'room', 'u1', meta => meta), { code: 'NOT_TRACKED' })
  assert.throws(() => users.update({}, 'room', 'u1', {}), { code: 'NOT_TRACKED' })
  assert.throws(() => users.update(owner, 'room', 'u1'), { code: 'INVALID_META' })
  assert.throws(() => users.update(owner, 'room', 'u1', {}, { ifRef: 7 }), { code: 'INVALID_ARGUMENT' })
})

test('trackMany is all or nothing and names the item', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const refs = users.trackMany(owner, [['room', 'a', { n: 1 }], ['room', 2], ['other', 'a', {}]])
  assert.equal(refs.length, 3)
  assert.equal((await users.list('room')).a.metas[0].phx_ref, refs[0])
  assert.deepEqual(users.trackMany(owner, []), [])
  assert.throws(() => users.trackMany(owner, [['room', 'b'], ['room', 'a']]), { code: 'ALREADY_TRACKED', index: 1 })
  assert.throws(() => users.trackMany(owner, [['room', 'b'], ['room', 'c', { n: NaN }]]), { code: 'INVALID_META', index: 1 })
  assert.throws(() => users.trackMany(owner, [['room', 'b'], ['room', 'b']]), { code: 'ALREADY_TRACKED', index: 1 })
  assert.throws(() => users.trackMany(owner, [['room', 'b'], ['room', '']]), { code: 'INVALID_KEY', index: 1 })
  assert.throws(() => users.trackMany(owner, [{ topic: 'room', key: 'b' }]), { code: 'INVALID_ARGUMENT', index: 0 })
  assert.throws(() => users.trackMany(owner, [['room', 'b', {}, 4]]), { code: 'INVALID_ARGUMENT', index: 0, message: /4 values/ })
  assert.throws(() => users.trackMany(owner, 'room'), { code: 'INVALID_ARGUMENT' })
  assert.deepEqual(Object.keys(await users.list('room')).sort(), ['2', 'a'])
})

test('keys are text, safe integers and bigints', async t => {
  const users = await alone(t)
  const owner = users.owner()
  users.track(owner, 'room', 1)
  assert.throws(() => users.track(owner, 'room', '1'), { code: 'ALREADY_TRACKED' })
  users.track(owner, 'room', 12345678901234567890n)
  assert.notEqual(await users.getByKey('room', 1), null)
  assert.equal(users.untrack(owner, 'room', 1n), 1)
  assert.deepEqual(Object.keys(await users.list('room')), ['12345678901234567890'])
  for (const key of [true, 1.5, NaN, 2 ** 53, null, undefined, {}, [], Symbol('s'), '', 'a\0b', '\ud800', 'x'.repeat(256)]) {
    assert.throws(() => users.track(owner, 'room', key), { code: 'INVALID_KEY', name: 'InvalidKey' }, String(key))
  }
})

test('topics are text, or objects that carry it', async t => {
  const users = await alone(t)
  const owner = users.owner()
  users.track(owner, { topic: 'room' }, 'u1')
  assert.equal(users.count('room'), 1)
  users.track(owner, 'ü'.repeat(127), 'u1')
  for (const topic of [1, null, undefined, {}, { topic: 1 }, { topic: null }, { topic: { topic: 'room' } }, '', 'a\0b', '\udc00', 'x'.repeat(256), 'ü'.repeat(128), 'x'.repeat(100000)]) {
    assert.throws(() => users.track(owner, topic, 'u1'), { code: 'INVALID_TOPIC' })
    assert.throws(() => users.count(topic), { code: 'INVALID_TOPIC' })
    assert.throws(() => users.subscribe(topic), { code: 'INVALID_TOPIC' })
    await assert.rejects(users.list(topic), { code: 'INVALID_TOPIC' })
    await assert.rejects(users.getByKey(topic, 'u1'), { code: 'INVALID_TOPIC' })
  }
})

test('metas that JSON would lose or refuse are refused, naming the place', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const cyclic = {}
  cyclic.self = cyclic
  let deep = {}
  for (let i = 0; i < 40; i++) deep = { deep }
  class Point { x = 1 }
  const bad = [null, 1, 'text', [], [{}], new Map(), new Date(), new Point(), () => ({}), { n: NaN }, { n: Infinity }, { n: 1n },
    { f () {} }, { s: Symbol('s') }, { list: [undefined] }, { date: new Date() }, { point: new Point() }, { map: new Map() }, cyclic, deep]
  for (const meta of bad) assert.throws(() => users.track(owner, 'room', 'u1', meta), { code: 'INVALID_META', name: 'InvalidMeta' })
  assert.throws(() => users.track(owner, 'room', 'u1', { a: [{ b: NaN }] }), { message: /meta\.a\[0\]\.b: NaN/ })
  assert.throws(() => users.track(owner, 'room', 'u1', { text: '\ud800' }), { code: 'INVALID_META' })
  assert.equal(users.count('room'), 0)
})

test('metas that JSON can say are kept as they are', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const meta = { text: 'ünïcode ☃ \u0000 "quoted"', n: -1.5e300, nested: { list: [1, null, true, { a: {} }], empty: [] } }
  users.track(owner, 'room', 'u1', { ...meta, left: undefined })
  users.track(owner, 'room', 'u2', Object.assign(Object.create(null), { bare: true }))
  const { u1, u2 } = await users.list('room')
  const { phx_ref: _, ...back } = u1.metas[0]
  assert.deepEqual(back, meta)
  assert.equal(u2.metas[0].bare, true)
  const big = { text: 'x'.repeat(8000) }
  users.track(owner, 'room', 'u3', big)
  assert.equal((await users.getByKey('room', 'u3')).metas[0].text, big.text)
})

test('names of Object.prototype are ordinary keys, topics and fields', async t => {
  class Users extends Presence {
    fetch (topic, presences) {
      return new Map(Object.keys(presences).map(key => [key, { user: { name: key } }]))
    }
  }
  const users = await alone(t, {}, Users)
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
  const owner = users.owner()
  for (const name of names) users.track(owner, '__proto__', name, JSON.parse(`{"__proto__":{"polluted":1},"name":"${name}"}`))
  const list = await users.list('__proto__')
  assert.deepEqual(Object.keys(list).sort(), names.slice().sort())
  for (const name of names) {
    const entry = Object.getOwnPropertyDescriptor(list, name).value
    assert.equal(entry.user.name, name)
    assert.equal(entry.metas[0].name, name)
    assert.ok(Object.hasOwn(entry.metas[0], '__proto__'))
    assert.deepEqual((await users.getByKey('__proto__', name)).metas, entry.metas)
  }
  assert.match(JSON.stringify(list), /"__proto__":\{"metas"/)
  assert.equal({}.polluted, undefined)
})

test('settings restrict, and the error names the option', async t => {
  const users = await alone(t, { key_bytes: 4, topicBytes: 6, metaBytes: 20 })
  const owner = users.owner()
  users.track(owner, 'room:1', 'abcd', { n: 1 })
  assert.throws(() => users.track(owner, 'room', 'abcde'), { code: 'LIMIT', option: 'key_bytes', message: /key_bytes/ })
  assert.throws(() => users.track(owner, 'room:10', 'a'), { code: 'LIMIT', message: /topic_bytes/ })
  assert.throws(() => users.track(owner, 'room', 'a', { text: 'x'.repeat(20) }), { code: 'LIMIT', message: /meta_bytes/ })
  assert.throws(() => users.update(owner, 'room:1', 'abcd', { text: 'x'.repeat(20) }), { code: 'LIMIT' })
})

test('quotas restrict what is tracked here, and the error names the option', async t => {
  const users = await alone(t, { memberEntries: 4, topicEntries: 3, keyMetas: 2 })
  const [a, b, c] = [users.owner(), users.owner(), users.owner()]
  users.track(a, 't', 'k')
  users.track(b, 't', 'k')
  assert.throws(() => users.track(c, 't', 'k'), { code: 'LIMIT', option: 'key_metas', message: /key_metas, 2/ })
  assert.throws(() => users.trackMany(c, [['t', 'a'], ['t', 'b']]), { code: 'LIMIT', option: 'topic_entries', index: 1 })
  assert.throws(() => users.trackMany(c, [['u', 'a'], ['v', 'b'], ['w', 'c']]), { code: 'LIMIT', option: 'member_entries', index: 2 })
  assert.equal(users.count('t'), 1)
  users.update(a, 't', 'k', { n: 1 })
  b.close()
  users.track(c, 't', 'k')
})

test('errors are PresenceErrors with a code, a number and a name', async t => {
  const users = await alone(t)
  const error = (() => { try { users.track(users.owner(), '', 'a') } catch (e) { return e } })()
  assert.ok(error instanceof PresenceError && error instanceof Error)
  assert.deepEqual([error.code, error.number, error.name], ['INVALID_TOPIC', -3, 'InvalidTopic'])
  assert.match(error.message, /topic/)
})

test('stats and members', async t => {
  const users = await alone(t, { name: 'one' })
  users.track(users.owner(), 'room', 'u1')
  const stats = users.stats()
  assert.equal(stats.entries, 1)
  assert.equal(stats.topics, 1)
  assert.equal(stats.resyncs, 0)
  const [self, ...others] = users.members()
  assert.deepEqual(others, [])
  assert.equal(self.name, 'one')
  assert.equal(self.isSelf, true)
  assert.equal(self.is_self, true)
  assert.equal(self.status, 'up')
  assert.equal(self.entries, 1)
  assert.match(self.id, /^[0-9a-f]{16}$/)
  JSON.stringify(users.members())
})
