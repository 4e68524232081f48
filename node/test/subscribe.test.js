// Subscriptions: one state, then every diff; bounds, signals, what an event carries.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { PresenceEvent } = require('..')
const { startAlone, waitFor } = require('../testing.js')

async function alone (t, options, Class) {
  const users = await startAlone(options, Class)
  t.after(() => users.stop())
  return users
}

/** refs by key of a state */
function refsOf (presences) {
  return Object.fromEntries(Object.entries(presences).map(([key, { metas }]) => [key, metas.map(meta => meta.phx_ref).sort()]))
}

/** Folds events by ref, as any client does; asserts that nothing comes twice or leaves without having come. */
class Folded {
  keys = new Map()

  take ({ event, payload }) {
    if (event === 'presence_state') {
      this.keys = new Map(Object.entries(payload).map(([key, { metas }]) => [key, new Set(metas.map(meta => meta.phx_ref))]))
      return
    }
    for (const [key, { metas }] of Object.entries(payload.joins)) {
      for (const meta of metas) {
        const refs = this.keys.get(key) ?? new Set()
        assert.ok(!refs.has(meta.phx_ref), 'joined twice')
        this.keys.set(key, refs.add(meta.phx_ref))
      }
    }
    for (const [key, { metas }] of Object.entries(payload.leaves)) {
      for (const meta of metas) assert.ok(this.keys.get(key)?.delete(meta.phx_ref), 'left without having come')
      if (this.keys.get(key).size === 0) this.keys.delete(key)
    }
  }

  get refs () { return Object.fromEntries([...this.keys].map(([key, refs]) => [key, [...refs].sort()])) }
}

test('exactly one state first, even if empty, then diffs', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const seen = []
  const ending = new AbortController()
  const reading = (async () => {
    for await (const { topic, event, payload, changes, text, resync, fetched } of users.subscribe('room', { signal: ending.signal })) {
      seen.push({ topic, event, payload, changes, text, resync, fetched })
    }
  })()
  await waitFor(() => seen.length === 1)
  assert.deepEqual(seen[0], { topic: 'room', event: 'presence_state', payload: {}, changes: [], text: '{}', resync: false, fetched: true })
  const ref = users.track(owner, 'room', 'u1', { n: 1 })
  users.track(owner, 'other', 'u1')
  await waitFor(() => seen.length === 2)
  const [, { event, payload, text, changes }] = seen
  assert.equal(event, 'presence_diff')
  assert.deepEqual(payload, { joins: { u1: { metas: [{ n: 1, phx_ref: ref }] } }, leaves: {} })
  assert.deepEqual(JSON.parse(text), payload)
  assert.equal(JSON.stringify(payload), text)
  assert.deepEqual({ ...changes[0] }, {
    kind: 'join', topic: 'room', key: 'u1', meta: { n: 1 }, prev_meta: null, ref, prev_ref: null,
    member: users.members()[0].name, reason: null, first: true, last: false
  })
  ending.abort()
  await assert.rejects(reading, { name: 'AbortError' })
})

test('an update is one join and one leave of the key in one diff; refs chain', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const first = users.track(owner, 'room', 'u1', { n: 1 })
  const events = users.subscribe('room')
  assert.deepEqual((await events.next()).value.payload, { u1: { metas: [{ n: 1, phx_ref: first }] } })
  const second = users.update(owner, 'room', 'u1', { n: 2 })
  const { value: event } = await events.next()
  assert.deepEqual(event.payload.joins, { u1: { metas: [{ n: 2, phx_ref: second, phx_ref_prev: first }] } })
  assert.deepEqual(event.payload.leaves, { u1: { metas: [{ n: 1, phx_ref: first }] } })
  const [change] = event.changes
  assert.deepEqual([change.kind, change.ref, change.prev_ref, change.first, change.last], ['update', second, first, false, false])
  assert.deepEqual([change.meta, change.prev_meta], [{ n: 2 }, { n: 1 }])
  assert.deepEqual([change.prevMeta, change.prevRef], [{ n: 1 }, first])
  assert.deepEqual((await users.list('room')).u1.metas, event.payload.joins.u1.metas)
  users.untrack(owner, 'room', 'u1')
  const { value: left } = await events.next()
  assert.deepEqual(left.payload, { joins: {}, leaves: { u1: { metas: [{ n: 2, phx_ref: second }] } } })
  assert.deepEqual([left.changes[0].reason, left.changes[0].last], ['untrack', true])
})

test('an event is JSON, instance of PresenceEvent, and shared', async t => {
  const users = await alone(t)
  const [one, two] = [users.subscribe('room'), users.subscribe('room')]
  await one.next()
  await two.next()
  users.track(users.owner(), 'room', 'u1', { n: 1 })
  const event = (await one.next()).value
  assert.ok(event instanceof PresenceEvent)
  assert.equal(event, (await two.next()).value)
  assert.equal(event.payload, event.payload)
  assert.equal(event.payload.changes, event.changes)
  assert.deepEqual(JSON.parse(JSON.stringify(event)), { topic: 'room', event: 'presence_diff', payload: JSON.parse(event.text) })
})

test('break, return and throw end it; the topic is no longer consumed', async t => {
  const users = await alone(t)
  for await (const { event } of users.subscribe('room')) {
    assert.equal(event, 'presence_state')
    break
  }
  const events = users.subscribe('room')
  await events.next()
  const waiting = events.next()
  assert.deepEqual(await events.return(), { done: true, value: undefined })
  assert.deepEqual(await waiting, { done: true, value: undefined })
  assert.deepEqual(await events.next(), { done: true, value: undefined })
  await assert.rejects(users.subscribe('room').throw(new RangeError('mine')), RangeError)
  await users.settle()
  users.track(users.owner(), 'room', 'u1')
  assert.equal(users.stats().queueEvents, 0)
})

test('an aborted signal rejects, at once, before and during', async t => {
  const users = await alone(t)
  const never = users.subscribe('room', { signal: AbortSignal.abort(new Error('why')) })
  await assert.rejects(never.next(), error => error.name === 'AbortError' && error.code === 'ABORT_ERR' && error.cause.message === 'why')
  assert.deepEqual(await never.next(), { done: true, value: undefined })
  const ending = new AbortController()
  const events = users.subscribe('room', { signal: ending.signal })
  await events.next()
  const waiting = [events.next(), events.next()]
  ending.abort()
  await assert.rejects(waiting[0], { name: 'AbortError' })
  assert.deepEqual(await waiting[1], { done: true, value: undefined })
  assert.throws(() => users.subscribe('room', { signal: 1 }), { code: 'INVALID_ARGUMENT' })
})

test('calls of next that do not wait for each other are answered in order', async t => {
  const users = await alone(t)
  const events = users.subscribe('room')
  const items = [events.next(), events.next(), events.next()]
  const owner = users.owner()
  users.track(owner, 'room', 'a')
  users.track(owner, 'room', 'b')
  const got = (await Promise.all(items)).map(({ value }) => value.event === 'presence_state' ? 'state' : Object.keys(value.payload.joins)[0])
  assert.deepEqual(got, ['state', 'a', 'b'])
})

test('a second subscriber begins with the state, without gap or overlap', async t => {
  const users = await alone(t)
  const owner = users.owner()
  const one = users.subscribe('room')
  users.track(owner, 'room', 'a')
  const two = users.subscribe('room')
  users.track(owner, 'room', 'b')
  const [foldOne, foldTwo] = [new Folded(), new Folded()]
  foldOne.take((await one.next()).value)
  assert.deepEqual(foldOne.refs, {})
  foldTwo.take((await two.next()).value)
  assert.deepEqual(Object.keys(foldTwo.refs), ['a'])
  foldOne.take((await one.next()).value)
  foldOne.take((await one.next()).value)
  foldTwo.take((await two.next()).value)
  const list = refsOf(await users.list('room'))
  assert.deepEqual(foldOne.refs, list)
  assert.deepEqual(foldTwo.refs, list)
})

test('a subscriber that is too slow gets a fresh state with resync; another one does not notice', async t => {
  const users = await alone(t, { callbackQueue: 64 })
  const slow = users.subscribe('room')
  const slowFold = new Folded()
  const fastFold = new Folded()
  slowFold.take((await slow.next()).value)
  let diffs = 0
  const fast = users.subscribe('room')
  const reading = (async () => {
    for await (const event of fast) {
      assert.equal(event.resync, false)
      fastFold.take(event)
      if (event.event === 'presence_diff') diffs++
    }
  })()
  const owner = users.owner()
  const work = []
  for (let n = 0; n < 300; n++) {
    if (n % 3 === 2) users.untrack(owner, 'room', n - 1)
    else users.track(owner, 'room', n)
    work.push(n)
    await waitFor(() => diffs === work.length)
  }
  users.track(owner, 'room', 'on its way') // in the fresh state already when its diff comes by
  const { value: fresh } = await slow.next()
  assert.ok('on its way' in fresh.payload)
  assert.equal(fresh.event, 'presence_state')
  assert.equal(fresh.resync, true)
  slowFold.take(fresh)
  users.track(owner, 'room', 'last')
  slowFold.take((await slow.next()).value)
  await waitFor(() => diffs === 302)
  const list = refsOf(await users.list('room'))
  assert.deepEqual(slowFold.refs, list)
  assert.deepEqual(fastFold.refs, list)
  assert.equal(users.stats().resyncs, 1)
  await fast.return()
  await reading
})

test('before its first state a slow subscriber just gets a newer one', async t => {
  const users = await alone(t, { callbackQueue: 10 })
  const late = users.subscribe('room')
  const owner = users.owner()
  for (let n = 0; n < 50; n++) users.track(owner, 'room', n)
  await users.settle()
  const { value } = await late.next()
  assert.deepEqual([value.event, value.resync, Object.keys(value.payload).length], ['presence_state', false, 50])
  users.track(owner, 'room', 'next')
  assert.deepEqual(Object.keys((await late.next()).value.payload.joins), ['next'])
})

test('more events than the library keeps: one fresh state per topic, folding it equals the list', async t => {
  const users = await alone(t, { queueBytes: 16384 })
  const topics = ['a', 'b']
  const folds = topics.map(() => new Folded())
  const streams = topics.map(topic => users.subscribe(topic))
  for (const [i, stream] of streams.entries()) folds[i].take((await stream.next()).value)
  const owners = [users.owner(), users.owner()]
  for (let n = 0; n < 2000; n++) { // without letting the loop drain
    const topic = topics[n % 2]
    users.track(owners[0], topic, n, { text: 'x'.repeat(50) })
    if (n % 5 === 0) users.track(owners[1], topic, n, {})
    if (n % 7 === 0) users.update(owners[0], topic, n, { n })
    if (n % 3 === 0) users.untrack(owners[0], topic, n)
  }
  owners[1].close()
  let resyncs = 0
  for (const [i, topic] of topics.entries()) {
    const want = refsOf(await users.list(topic))
    while (JSON.stringify(sorted(folds[i].refs)) !== JSON.stringify(sorted(want))) {
      const { value } = await streams[i].next()
      if (value.resync) resyncs++
      folds[i].take(value)
    }
  }
  assert.ok(resyncs >= 2)
  assert.ok(users.stats().resyncs >= 2)
})

function sorted (object) {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => a < b ? -1 : 1))
}

test('stop ends subscriptions: what is queued is still given', async () => {
  const users = await startAlone()
  const events = users.subscribe('room')
  const waiting = users.subscribe('other')
  await waiting.next()
  const end = waiting.next()
  users.track(users.owner(), 'room', 'u1')
  await users.settle()
  await users.stop()
  assert.deepEqual(await end, { done: true, value: undefined })
  assert.equal((await events.next()).value.event, 'presence_state')
  assert.equal((await events.next()).value.event, 'presence_diff')
  let last
  do last = await events.next(); while (!last.done)
  assert.throws(() => users.subscribe('room'), { code: 'CLOSED' })
})

test('settle waits for what is queued', async t => {
  const users = await alone(t)
  const seen = []
  users.on('diff', diff => seen.push(...Object.keys(diff.room.joins)))
  const owner = users.owner()
  for (let n = 0; n < 600; n++) users.track(owner, 'room', `k${n}`)
  await users.settle({ timeout: 5000 })
  assert.equal(seen.length, 600)
  await assert.rejects(users.settle({ signal: AbortSignal.abort() }), { name: 'AbortError' })
})
