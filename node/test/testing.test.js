// libpresence/testing: clusters in virtual time, with every fault and every error.
'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { Presence } = require('../index.js')
const { Cluster, SettleTimeout } = require('../testing.js')

const up = (member, status = 'up') => member.members().filter(other => other.status === status).map(other => other.name).sort()
const keys = async member => Object.keys(await member.list('room')).sort()

async function inCluster (options, run) {
  const cluster = new Cluster(options)
  try {
    await run(cluster)
  } finally {
    await cluster.close()
  }
}

test('members agree after settle', () => inCluster({ seed: 1 }, async cluster => {
  const [a, b, c] = [await cluster.start('a'), await cluster.start('b'), await cluster.start('c')]
  const ref = a.track(a, 'room', 'u1', { n: 1 })
  assert.equal(b.count('room'), 0)
  assert.equal(cluster.now, 0)
  await cluster.settle()
  assert.deepEqual(await b.list('room'), { u1: { metas: [{ n: 1, phx_ref: ref }] } })
  assert.deepEqual(up(c), ['a', 'b', 'c'])
  assert.ok(cluster.now > 0 && cluster.now < 1000)
  assert.deepEqual(cluster.members, [a, b, c])
}))

test('time is virtual: leases, synced', () => inCluster({ seed: 2 }, async cluster => {
  const a = await cluster.start('a')
  assert.equal(await a.synced(), 'alone')
  const b = await cluster.start('b', { permdownMs: 60000 })
  assert.equal(b.isSynced, false)
  assert.equal(await b.synced({ timeout: 5000 }), 'synced')
  const owner = a.owner({ lease: 3600000 })
  a.track(owner, 'room', 'u1')
  await cluster.run(3599000)
  assert.equal(b.count('room'), 1)
  await cluster.run(2000)
  assert.equal(b.count('room'), 0)
  cluster.pause(a)
  const c = await cluster.start('c', { join: [a.address] })
  await assert.rejects(c.synced({ timeout: 500 }), { code: 'TIMEOUT', message: /500 ms of virtual time/ })
}))

test('partition and heal', () => inCluster({ seed: 3 }, async cluster => {
  const members = []
  for (const name of ['a', 'b', 'c']) {
    const member = await cluster.start(name)
    member.track(member, 'room', name)
    members.push(member)
  }
  const [a, b, c] = members
  await cluster.settle()
  cluster.partition([a], [b, c])
  await cluster.settle()
  assert.deepEqual(await Promise.all(members.map(keys)), [['a'], ['b', 'c'], ['b', 'c']])
  assert.deepEqual(up(b, 'down'), ['a'])
  cluster.partition([a, b])
  await cluster.settle()
  assert.deepEqual(await Promise.all(members.map(keys)), [['a', 'b'], ['a', 'b'], ['c']])
  cluster.heal()
  await cluster.settle()
  assert.deepEqual(await Promise.all(members.map(keys)), Array(3).fill(['a', 'b', 'c']))
  cluster.block(a, b)
  await cluster.run(30000)
  a.track(a, 'room', 'over c')
  await cluster.settle()
  assert.equal(b.count('room'), 4)
  cluster.block(c, b, { both: false })
  cluster.heal()
  await cluster.settle()
}))

for (const silent of [false, true]) {
  test(`crash and restart, silent ${silent}`, () => inCluster({ seed: 4 }, async cluster => {
    const [a, b] = [await cluster.start('a'), await cluster.start('b')]
    const owner = a.owner()
    const { address } = a
    const errors = []
    a.track(owner, 'room', 'u1')
    const events = a.subscribe('room')
    assert.equal((await events.next()).value.event, 'presence_state')
    await cluster.settle()
    const before = cluster.now
    await cluster.crash(a, { silent })
    assert.deepEqual(errors, [])
    assert.deepEqual(cluster.members, [b])
    const crashed = { code: 'CLOSED', message: "the member 'a' was crashed by the test" }
    assert.throws(() => a.track(owner, 'room', 'u2'), crashed)
    assert.throws(() => a.count('room'), crashed)
    await assert.rejects(a.list('room'), crashed)
    await assert.rejects(events.next(), crashed)
    assert.throws(() => cluster.pause(a), crashed)
    owner.close()
    await a.stop()
    await cluster.settle()
    assert.equal(b.count('room'), 0)
    assert.equal(cluster.now - before > 1000, silent)
    const again = await cluster.start('a')
    await cluster.settle()
    assert.equal(again.address, address)
    assert.deepEqual(up(b), ['a', 'b'])
  }))
}

test('pause, resume and stop', () => inCluster({ seed: 5 }, async cluster => {
  const [a, b] = [await cluster.start('a'), await cluster.start('b')]
  b.track(b, 'room', 'u1')
  await cluster.settle()
  cluster.pause(b)
  assert.throws(() => cluster.pause(b), { code: 'WRONG_STATE', message: 'b is paused already' })
  await cluster.settle()
  assert.equal(a.count('room'), 0)
  cluster.resume(b)
  await cluster.settle()
  assert.equal(a.count('room'), 1)
  await cluster.stop(b)
  const before = cluster.now
  await cluster.settle()
  assert.equal(a.count('room'), 0)
  assert.ok(cluster.now - before < 100)
}))

class Watching extends Presence {
  folded = new Map()
  met = []
  async fetch (topic, presences) {
    await new Promise(setImmediate)
    return Object.fromEntries(Object.keys(presences).map(key => [key, { by: 'fetch' }]))
  }

  async handleDiff (diff) {
    await new Promise(setImmediate)
    for (const change of diff.room?.changes ?? []) {
      if (change.kind !== 'join') assert.ok(this.folded.delete(change.kind === 'leave' ? change.ref : change.prev_ref))
      if (change.kind !== 'leave') this.folded.set(change.ref, change.key)
    }
  }

  handleMember (member) {
    this.met.push([member.name, member.status, this.cluster?.now])
    if (member.status === 'up') this.track(this, 'greeted', member.name)
  }
}

test('callbacks are served at their moment', () => inCluster({ seed: 6 }, async cluster => {
  const a = await cluster.start('a', Watching)
  a.cluster = cluster
  const b = await cluster.start('b', Watching)
  b.track(b, 'room', 'u1', { n: 1 })
  await cluster.settle()
  assert.deepEqual([...a.folded.values()], ['u1'])
  assert.equal((await a.list('room')).u1.by, 'fetch')
  assert.deepEqual(Object.keys(await b.list('greeted')).sort(), ['a', 'b'])
  cluster.pause(b)
  const before = cluster.now
  await cluster.run(60000)
  assert.equal(a.folded.size, 0)
  const [, , moment] = a.met.find(([, status]) => status === 'down')
  assert.ok(moment > before && moment < before + 20000, String(moment))
}))

test('subscriptions hold what happened; until waits for a condition', () => inCluster({ seed: 7 }, async cluster => {
  const [a, b] = [await cluster.start('a'), await cluster.start('b')]
  const events = b.subscribe('room')
  const owner = a.owner()
  assert.deepEqual((await events.next()).value.payload, {})
  const ref = a.track(owner, 'room', 'u1')
  await cluster.settle()
  assert.equal((await events.next()).value.changes[0].ref, ref)
  a.untrack(owner)
  assert.equal(await cluster.until(async () => b.count('room') === 0 && 'gone'), 'gone')
  await assert.rejects(cluster.until(() => b.count('room'), { limit: 500 }), SettleTimeout)
}))

test('settle says who disagrees', () => inCluster({ seed: 8, latency: [500, 1000] }, async cluster => {
  const a = await cluster.start('a')
  await cluster.start('b')
  await cluster.settle()
  a.track(a, 'room', 'u1')
  await assert.rejects(cluster.settle({ limit: 100 }), { name: 'SettleTimeout', code: 'TIMEOUT', message: /under way|b shows 0 presences of a, which tracks 1/ })
}))

test('a program that makes its own members, with the options of production', () => inCluster({ seed: 9 }, async cluster => {
  const first = cluster.add(new Presence({ name: 'web-1', listen: '127.0.0.1:7946' }))
  const second = cluster.add(new Presence({ name: 'web-2', listen: '127.0.0.1:7947', join: ['127.0.0.1:7946'] }))
  assert.throws(() => cluster.pause(first), { code: 'WRONG_STATE' })
  await first.start()
  await second.start()
  await cluster.settle()
  assert.deepEqual(up(first), ['web-1', 'web-2'])
  assert.equal(second.address, '127.0.0.1:7947')
  await assert.rejects(cluster.start('web-3', { listen: '127.0.0.1:7946' }), { code: 'ADDRESS_IN_USE' })
}))

test('the same seed gives the same history', async () => {
  const history = async seed => {
    let outcome
    await inCluster({ seed }, async cluster => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')]
      const ref = a.track(a, 'room', 'u1')
      await cluster.settle()
      cluster.partition([a])
      await cluster.settle()
      cluster.heal()
      await cluster.settle()
      outcome = { ref, now: cluster.now, ...b.stats() }
    })
    return outcome
  }
  const [one, two, other] = [await history(20), await history(20n), await history(21)]
  assert.deepEqual(one, two)
  assert.notEqual(one.ref, other.ref)
})

test('wrong arguments', () => inCluster({ seed: 10 }, async cluster => {
  const invalid = { code: 'INVALID_ARGUMENT' }
  for (const seed of ['1', 1.5, null]) assert.throws(() => new Cluster({ seed }), invalid)
  for (const latency of [[1], 'fast', [2, 1], [-1, 1], [0, 4000000]]) assert.throws(() => new Cluster({ latency }), invalid)
  const other = new Cluster()
  const [a, stranger] = [await cluster.start('a'), await other.start('a')]
  for (const wrong of [stranger, undefined, {}]) {
    assert.throws(() => cluster.pause(wrong), invalid)
    assert.throws(() => cluster.partition([wrong]), invalid)
  }
  assert.throws(() => cluster.partition(5), invalid)
  assert.throws(() => cluster.partition([a], [a]), invalid)
  assert.throws(() => cluster.block(a, a), { ...invalid, message: 'a and a are one member' })
  assert.throws(() => cluster.add({}), invalid)
  assert.throws(() => cluster.add(a), { code: 'WRONG_STATE' })
  await assert.rejects(cluster.start('b', class {}), invalid)
  await assert.rejects(cluster.start('b', { bogus: 1 }), { code: 'INVALID_OPTION' })
  await assert.rejects(cluster.run(-1), invalid)
  await assert.rejects(cluster.settle({ limit: 'long' }), invalid)
  await other.close()
}))
