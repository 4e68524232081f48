// fetch: how often it is called, with what, and what happens when it fails.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { Presence } = require('..')
const { startAlone, waitFor } = require('../testing.js')

class Users extends Presence {
  calls = []
  async fetch (topic, presences, { signal }) {
    this.calls.push([topic, Object.keys(presences)])
    this.signal = signal
    return this.answer ? this.answer(presences) : Object.fromEntries(Object.entries(presences).map(([key, entry]) => [key, { ...entry, user: key.toUpperCase() }]))
  }
}

async function fetching (t, options = {}) {
  const lines = []
  const users = await startAlone({ log: (line, details) => { if (details.callback) lines.push([line, details]) }, ...options }, Users)
  users.lines = lines
  t.after(() => users.stop())
  return users
}

test('list and getByKey call it once, for all keys', async t => {
  const users = await fetching(t)
  const owner = users.owner()
  assert.deepEqual(await users.list('room'), {})
  assert.deepEqual(users.calls, [], 'nobody, no call')
  const a = users.track(owner, 'room', 'a')
  const b = users.track(owner, 'room', 'b')
  assert.deepEqual(await users.list('room'), { a: { metas: [{ phx_ref: a }], user: 'A' }, b: { metas: [{ phx_ref: b }], user: 'B' } })
  assert.deepEqual(users.calls, [['room', ['a', 'b']]])
  assert.deepEqual(await users.getByKey('room', 'a'), { metas: [{ phx_ref: a }], user: 'A' })
  assert.equal(await users.getByKey('room', 'c'), null)
  assert.deepEqual(users.calls.slice(1), [['room', ['a']]])
})

test('concurrent lists of one version share one call', async t => {
  const users = await fetching(t)
  const owner = users.owner()
  users.track(owner, 'room', 'a')
  const lists = [users.list('room'), users.list('room')]
  const keyed = users.getByKey('room', 'a')
  users.track(owner, 'room', 'b')
  lists.push(users.list('room'), users.list('room'))
  const results = await Promise.all(lists)
  assert.deepEqual(results.map(result => Object.keys(result).length), [1, 1, 2, 2])
  assert.equal((await keyed).user, 'A')
  assert.equal(users.calls.filter(([, keys]) => keys.length === 2).length, 1)
  assert.ok(users.calls.length <= 3)
  results[0].a.metas.length = 0
  assert.equal(results[1].a.metas.length, 1, 'each has its own')
  await users.list('room')
  assert.equal(users.calls.filter(([, keys]) => keys.length === 2).length, 2, 'nothing is kept')
})

test('a diff is fetched once per side that is not empty, shared by all consumers', async t => {
  const seen = []
  class All extends Users {
    handleDiff (diff) { seen.push(['diff', diff.room]) }
    handleMetas (topic, diff, presences) { seen.push(['metas', diff, presences]) }
  }
  const users = await startAlone({}, All)
  t.after(() => users.stop())
  const streams = [users.subscribe('room'), users.subscribe('room'), users.subscribe('room')]
  for (const stream of streams) await stream.next()
  const owner = users.owner()
  users.track(owner, 'room', 'a', { n: 1 })
  const events = await Promise.all(streams.map(async stream => (await stream.next()).value))
  await users.settle()
  assert.deepEqual(users.calls, [['room', ['a']]])
  assert.equal(events[0], events[2])
  assert.equal(events[0].payload.joins.a.user, 'A')
  assert.equal(events[0].fetched, true)
  assert.equal(seen[0][1].joins.a.user, 'A')
  assert.equal(seen[1][2].a.user, 'A')
  assert.deepEqual(JSON.parse(events[0].text), JSON.parse(JSON.stringify(events[0].payload)))
  users.update(owner, 'room', 'a', { n: 2 })
  await users.settle()
  assert.deepEqual(users.calls.slice(1), [['room', ['a']], ['room', ['a']]], 'both sides of an update')
  users.untrack(owner)
  await users.settle()
  assert.equal(users.calls.length, 4)
})

test('nobody consumes: no call', async t => {
  const users = await fetching(t)
  const owner = users.owner()
  users.track(owner, 'room', 'a')
  const other = users.subscribe('other')
  await other.next()
  users.track(owner, 'room', 'b')
  await users.settle()
  assert.deepEqual(users.calls, [])
})

test('nobody consumes any more: what was queued is not fetched', async t => {
  const users = await fetching(t, { fetchConcurrency: 1 })
  const owner = users.owner()
  const [one, two, three] = ['one', 'two', 'three'].map(topic => users.subscribe(topic))
  for (const stream of [one, two, three]) await stream.next()
  let open
  users.answer = () => new Promise(resolve => { open = () => resolve({}) })
  for (const topic of ['one', 'two']) users.track(owner, topic, 'a')
  await waitFor(() => open)
  await two.return() // its diff waits for its turn
  users.track(owner, 'three', 'a')
  await three.return() // its diff is still in the queue of the library
  open()
  await one.next()
  await users.settle()
  assert.deepEqual(users.calls, [['one', ['a']]])
})

test('states are fetched in slices', async t => {
  const users = await fetching(t, { fetchBatch: 10 })
  const owner = users.owner()
  users.trackMany(owner, Array.from({ length: 25 }, (_, n) => ['room', `k${n}`]))
  const list = await users.list('room')
  assert.deepEqual(users.calls.map(([, keys]) => keys.length), [10, 10, 5])
  assert.equal(Object.values(list).filter(entry => entry.user).length, 25)
  const { value } = await users.subscribe('room').next()
  assert.equal(value.payload.k7.user, 'K7')
})

test('what it returns: missing keys stay, others are ignored, metas are ours, a Map is good', async t => {
  const users = await fetching(t)
  const owner = users.owner()
  const ref = users.track(owner, 'room', 'a')
  users.track(owner, 'room', 'b')
  users.answer = presences => {
    presences.a.metas.push('mine')
    delete presences.b
    return { a: { metas: [], user: 1 }, stranger: { user: 2 } }
  }
  const list = await users.list('room')
  assert.deepEqual(Object.keys(list), ['a', 'b'])
  assert.deepEqual(list.a, { metas: [{ phx_ref: ref }], user: 1 })
  assert.deepEqual(Object.keys(list.b), ['metas'])
  users.answer = () => new Map([['a', { user: 'map' }], ['b', null]])
  assert.equal((await users.list('room')).a.user, 'map')
  assert.deepEqual(users.lines, [])
})

for (const [what, answer] of [['throws', () => { throw new Error('no database') }], ['null', () => null], ['a list', () => []], ['text', () => 'x'], ['nothing', () => undefined]]) {
  test(`fetch fails (${what}): unfetched entries, fetched false, logged once`, async t => {
    const users = await fetching(t)
    users.answer = answer
    const stream = users.subscribe('room')
    await stream.next()
    users.track(users.owner(), 'room', 'a')
    const { value } = await stream.next()
    assert.equal(value.fetched, false)
    assert.deepEqual(Object.keys(value.payload.joins.a), ['metas'])
    assert.deepEqual([value.payload.fetched, Object.keys(value.payload)], [false, ['joins', 'leaves']])
    assert.equal(users.lines.length, 1)
    assert.match(users.lines[0][0], /fetch.*room/)
    assert.deepEqual([users.lines[0][1].callback, users.lines[0][1].topic], ['fetch', 'room'])
    assert.deepEqual(Object.keys((await users.list('room')).a), ['metas'])
  })
}

test('a fetch that hangs: after fetch_timeout the diff comes unfetched, its signal is aborted; other topics do not wait', async t => {
  const users = await fetching(t, { fetchTimeoutMs: 60 })
  users.answer = presences => 'slow' in presences ? new Promise(() => {}) : {}
  const [slow, quick] = [users.subscribe('one'), users.subscribe('two')]
  await slow.next()
  await quick.next()
  const owner = users.owner()
  users.track(owner, 'one', 'slow')
  const order = []
  const waiting = slow.next().then(({ value }) => { order.push('slow'); return value })
  await waitFor(() => users.signal)
  const { signal } = users
  users.track(owner, 'two', 'quick')
  await quick.next().then(() => order.push('quick'))
  assert.equal((await waiting).fetched, false)
  assert.deepEqual(order, ['quick', 'slow'])
  assert.equal(signal.aborted, true)
  assert.match(users.lines[0][0], /60 ms/)
})

test('per topic in order, at most fetch_concurrency topics at a time', async t => {
  const users = await fetching(t, { fetchConcurrency: 3 })
  let running = 0
  let most = 0
  const open = []
  users.answer = async () => {
    most = Math.max(most, ++running)
    await new Promise(resolve => open.push(resolve))
    running--
    return {}
  }
  const got = []
  users.on('diff', diff => { for (const topic of Object.keys(diff)) got.push([topic, ...Object.keys(diff[topic].joins)]) })
  const owner = users.owner()
  for (let n = 0; n < 2; n++) for (let topic = 0; topic < 6; topic++) users.track(owner, `t${topic}`, `k${n}`)
  while (got.length < 12) {
    await waitFor(() => open.length > 0 || got.length === 12)
    open.splice(Math.floor(open.length / 2), 1)[0]?.()
  }
  assert.equal(most, 3)
  for (let topic = 0; topic < 6; topic++) assert.deepEqual(got.filter(([name]) => name === `t${topic}`).map(([, key]) => key), ['k0', 'k1'])
})

test('stop cancels a running fetch', async () => {
  const users = await startAlone({}, Users)
  users.answer = () => new Promise(() => {})
  users.track(users.owner(), 'room', 'a')
  const list = users.list('room')
  await waitFor(() => users.signal)
  await users.stop()
  assert.equal(users.signal.aborted, true)
  assert.deepEqual(Object.keys((await list).a), ['metas'])
})

test('what fetch adds and JSON cannot say: text is the unfetched payload, logged', async t => {
  const users = await fetching(t)
  users.answer = presences => Object.fromEntries(Object.keys(presences).map(key => [key, { big: 1n }]))
  const stream = users.subscribe('room')
  await stream.next()
  users.track(users.owner(), 'room', 'a')
  const { value } = await stream.next()
  assert.equal(value.payload.joins.a.big, 1n)
  assert.deepEqual(Object.keys(JSON.parse(value.text).joins.a), ['metas'])
  assert.equal(value.text, value.text)
  assert.equal(users.lines.length, 1)
})

test('a fetch may call every method', async t => {
  const users = await fetching(t)
  const owner = users.owner()
  users.answer = async () => {
    users.answer = undefined
    const inner = await users.getByKey('room', 'a')
    users.track(owner, 'room', 'from fetch')
    return { a: { inner: inner.user } }
  }
  users.track(owner, 'room', 'a')
  assert.equal((await users.list('room')).a.inner, 'A')
  assert.equal(users.count('room'), 2)
})

test('what fetch gave throws when it is read: as if fetch had thrown', async t => {
  const thrower = () => { throw new Error('getter') }
  const answers = [
    () => ({ a: { get user () { return thrower() } } }),
    () => Object.defineProperty({}, 'a', { get: thrower }),
    () => new Proxy({}, { getOwnPropertyDescriptor: thrower }),
    () => new (class extends Map { get () { return thrower() } })()
  ]
  for (const answer of answers) {
    const users = await fetching(t)
    users.answer = answer
    const events = users.subscribe('room')
    await events.next()
    const ref = users.track(users.owner(), 'room', 'a')
    const { value } = await events.next()
    assert.equal(value.fetched, false)
    assert.deepEqual(await users.list('room'), { a: { metas: [{ phx_ref: ref }] } })
    assert.deepEqual(users.lines.map(([, { callback, error }]) => [callback, error.message]), [['fetch', 'getter'], ['fetch', 'getter']])
  }
})

test('settle waits for the fetch of a list, and is done with it', async t => {
  const users = await fetching(t)
  users.track(users.owner(), 'room', 'a')
  await users.settle()
  let open
  users.answer = presences => new Promise(resolve => { open = () => resolve(presences) })
  const list = users.list('room')
  let settled = false
  const settling = users.settle().then(() => { settled = true })
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate) // nothing else is to wake it
  assert.equal(settled, false)
  open()
  await list
  await settling
})
