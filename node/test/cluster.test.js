// Members of one cluster: two trackers of this process, and child processes that end in every way.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const path = require('node:path')
const net = require('node:net')
const { randomUUID } = require('node:crypto')
const { once } = require('node:events')
const { spawn } = require('node:child_process')
const { Worker } = require('node:worker_threads')
const { Presence } = require('..')
const { startCluster, waitFor } = require('../testing.js')

const quick = { heartbeatMs: 100, graceMs: 100 }

async function pair (t, options = {}, Class = Presence) {
  const members = await startCluster(2, { ...quick, ...options }, Class)
  t.after(() => Promise.all(members.map(member => member.stop())))
  return members
}

const clusters = new WeakMap()
/** startCluster gives each cluster a name of its own; here it has to be known. */
function clusterOf (member) { return clusters.get(member) }

class Named extends Presence {
  constructor (options) {
    super(options)
    clusters.set(this, options.cluster)
  }
}

/** A member in a process of its own; answers when it has tracked. */
async function child (t, seed, cluster, body = '') {
  const options = JSON.stringify({ ...quick, cluster, name: 'child', join: [seed] })
  const process_ = spawn(process.execPath, ['-e', `
    const { Presence } = require(${JSON.stringify(path.join(__dirname, '..'))})
    Presence.start(${options}).then(async users => {
      await users.synced()
      users.ref()
      users.track(users.owner(), 'room', 'child')
      ${body}
      console.log('ready')
    })`], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => process_.kill('SIGKILL'))
  await new Promise((resolve, reject) => {
    process_.stdout.once('data', resolve)
    process_.once('exit', code => reject(new Error(`the child ended early: ${code}`)))
  })
  return process_
}

test('both see the same presences, refs and order', async t => {
  const [one, two] = await pair(t)
  const owners = [one.owner(), two.owner(), two.owner()]
  const refs = [one.track(owners[0], 'room', 'u1', { at: 'one' }), two.track(owners[1], 'room', 'u1', { at: 'two' }), two.track(owners[2], 'room', 'u2')]
  await waitFor(() => one.count('room', { metas: true }) === 3 && two.count('room', { metas: true }) === 3)
  const list = await one.list('room')
  assert.deepEqual(await two.list('room'), list)
  assert.deepEqual(list.u1.metas.map(meta => meta.phx_ref).sort(), refs.slice(0, 2).sort())
  assert.deepEqual(one.topics(), ['room'])
  assert.deepEqual(one.members().map(member => [member.isSelf, member.status, member.synced]), [[true, 'up', true], [false, 'up', true]])
  assert.equal(one.members()[1].id, two.members()[0].id)
  assert.equal(one.members()[1].address, two.address)
})

test('a diff of the other: member, update, leave with reason; nobody else can change it', async t => {
  const [one, two] = await pair(t)
  const events = two.subscribe('room')
  await events.next()
  const owner = one.owner()
  const first = one.track(owner, 'room', 'u1', { n: 1 })
  const join = (await events.next()).value.changes[0]
  assert.deepEqual([join.kind, join.ref, join.member, join.first], ['join', first, one.members()[0].name, true])
  assert.throws(() => two.update(two.owner(), 'room', 'u1', {}), { code: 'NOT_TRACKED' })
  assert.equal(two.untrack(two.owner(), 'room', 'u1'), 0)
  const second = one.update(owner, 'room', 'u1', { n: 2 })
  const { value: update } = await events.next()
  assert.deepEqual(update.payload.joins.u1.metas, [{ n: 2, phx_ref: second, phx_ref_prev: first }])
  assert.deepEqual(update.payload.leaves.u1.metas, [{ n: 1, phx_ref: first }])
  owner.close()
  const leave = (await events.next()).value.changes[0]
  assert.deepEqual([leave.kind, leave.reason, leave.last, leave.ref], ['leave', 'owner_closed', true, second])
})

test('a new member has what was there before it, with one diff per topic', async t => {
  const [one] = await pair(t, {}, Named)
  const owner = one.owner()
  one.trackMany(owner, Array.from({ length: 500 }, (_, n) => ['room', n, { n }]))
  const metas = []
  const late = await Presence.start({
    ...quick,
    cluster: clusterOf(one),
    join: [one.address],
    handleMetas (topic, diff, presences) { metas.push([topic, Object.keys(presences).length]) }
  })
  t.after(() => late.stop())
  assert.equal(await late.synced({ timeout: 5000 }), 'synced')
  await waitFor(() => late.count('room') === 500)
  assert.deepEqual(await late.list('room'), await one.list('room'))
  await late.settle()
  assert.deepEqual(metas.at(-1), ['room', 500])
})

test('the first sync never overflows a slow consumer', async t => {
  const [one] = await pair(t, {}, Named)
  one.trackMany(one.owner(), Array.from({ length: 300 }, (_, n) => [`t${n % 100}`, n, {}]))
  let open
  const joined = []
  const late = new Presence({
    ...quick,
    cluster: clusterOf(one),
    join: [one.address],
    callbackQueue: 5,
    async handleDiff (diff) {
      for (const { changes } of Object.values(diff)) joined.push(...changes.map(({ kind, key }) => kind + key))
      if (!open) await new Promise(resolve => { open = resolve })
    }
  })
  await late.start()
  t.after(() => late.stop())
  await late.synced()
  await waitFor(() => open && late.count('t99') === 3)
  open()
  await late.settle()
  assert.deepEqual(joined.sort(), Array.from({ length: 300 }, (_, n) => `join${n}`).sort())
  assert.equal(late.stats().resyncs, 0)
})

test('a member that stops has left, and takes its presences with it; members are told', async t => {
  const seen = []
  class Watching extends Presence {
    handleMember (member) { seen.push([member.name, member.status]) }
  }
  const [one, two] = await pair(t, {}, Watching)
  const told = []
  one.on('member', member => told.push(member.status))
  two.track(two.owner(), 'room', 'u1')
  await waitFor(() => one.count('room') === 1)
  const events = one.subscribe('room')
  await events.next()
  const { name } = two.members()[0]
  await two.stop()
  const { value } = await events.next()
  assert.deepEqual(value.changes.map(change => [change.key, change.reason, change.member]), [['u1', 'member_left', name]])
  await waitFor(() => told.includes('left'))
  assert.ok(seen.some(([member, status]) => member === name && status === 'left'))
  assert.deepEqual(one.members().map(member => member.isSelf), [true])
})

for (const [how, reason] of [['process.exit', 'member_left'], ['natural exit', 'member_left'], ['SIGKILL', 'member_down']]) {
  test(`a process ends (${how}): its presences leave as ${reason}`, async t => {
    const cluster = randomUUID()
    const one = await Presence.start({ ...quick, cluster, name: 'one' })
    t.after(() => one.stop())
    const body = { 'process.exit': 'process.stdin.once("end", () => process.exit(0)).resume()', 'natural exit': 'process.stdin.once("end", () => users.unref()).resume()' }[how] ?? ''
    const process_ = await child(t, one.address, cluster, body)
    await waitFor(() => one.count('room') === 1)
    const events = one.subscribe('room')
    await events.next()
    process_.removeAllListeners('exit')
    const exited = new Promise(resolve => process_.once('exit', (code, signal) => resolve([code, signal])))
    if (how === 'SIGKILL') process_.kill('SIGKILL')
    else process_.stdin.end()
    const { value } = await events.next()
    assert.deepEqual(value.changes.map(change => [change.key, change.reason]), [['child', reason]])
    assert.deepEqual(await exited, how === 'SIGKILL' ? [null, 'SIGKILL'] : [0, null])
  })
}

test('workers that are terminated while diffs pour in: their members have left, nothing crashes', async t => {
  const cluster = randomUUID()
  const one = await Presence.start({ ...quick, cluster, name: 'one' })
  t.after(() => one.stop())
  const pour = { owner: one.owner(), n: 0 }
  const pouring = setInterval(() => {
    for (let i = 0; i < 50; i++) one.track(pour.owner, 'room', pour.n++)
    if (pour.n % 1000 === 0) one.untrack(pour.owner)
  }, 1)
  try {
    for (let round = 0; round < 3; round++) await terminateWorkers(one, cluster, round)
  } finally {
    clearInterval(pouring)
  }
})

async function terminateWorkers (one, cluster, round) {
  const workers = Array.from({ length: 3 }, (_, n) => new Worker(`
    const { Presence } = require(${JSON.stringify(path.join(__dirname, '..'))})
    const { parentPort } = require('node:worker_threads')
    const options = ${JSON.stringify({ ...quick, cluster, name: `worker-${round}-${n}`, join: [one.address] })}
    Presence.start({ ...options, handleDiff () {} }).then(users => users.ref().synced()).then(() => parentPort.postMessage('open'))`, { eval: true }))
  await Promise.all(workers.map(worker => once(worker, 'message')))
  assert.equal(one.members().length, 4)
  await Promise.all(workers.map(worker => worker.terminate()))
  await waitFor(() => one.members().length === 1)
}

test('a younger member takes the name: the older one yields with NAME_CONFLICT', async t => {
  const cluster = randomUUID()
  const older = await Presence.start({ ...quick, cluster, name: 'twin' })
  const errors = []
  const conflicts = []
  older.on('error', error => errors.push(error)).on('member', member => { if (member.status === 'conflict') conflicts.push('older') })
  const events = older.subscribe('room')
  await events.next()
  const ended = assert.rejects(async () => { for (;;) if ((await events.next()).done) return }, { code: 'NAME_CONFLICT' })
  await waitFor(() => Date.now() > older.members()[0].incarnation) // within one ms chance decides
  const younger = await Presence.start({ ...quick, cluster, name: 'twin', join: [older.address] })
  younger.on('error', () => {}).on('member', member => { if (member.status === 'conflict') conflicts.push('younger') })
  t.after(() => Promise.all([older.stop(), younger.stop()]))
  await waitFor(() => errors.length > 0, { what: 'the older one to yield' })
  assert.equal(errors[0].code, 'NAME_CONFLICT')
  await ended
  await waitFor(() => conflicts.length === 2, { what: 'both to report the conflict' })
  assert.deepEqual(conflicts.sort(), ['older', 'younger'])
  assert.throws(() => older.track(older, 'room', 'u1'), { code: 'NAME_CONFLICT', name: 'NameConflict' })
  await assert.rejects(older.list('room'), { code: 'NAME_CONFLICT' })
  await assert.rejects(older.synced(), { code: 'NAME_CONFLICT' })
  younger.track(younger.owner(), 'room', 'u1')
})

test('a peer of another cluster is an error event, or the first of its kind a line in the log', async t => {
  const lines = []
  const one = await Presence.start({ ...quick, cluster: 'a' + randomUUID(), log: (line, details) => { if (details.error) lines.push(line) } })
  const two = await Presence.start({ ...quick, cluster: 'b' + randomUUID(), join: [one.address] })
  t.after(() => Promise.all([one.stop(), two.stop()]))
  const errors = []
  two.on('error', error => errors.push(error))
  await waitFor(() => errors.length > 0)
  assert.equal(errors[0].code, 'WRONG_CLUSTER')
  assert.ok(lines.length <= 1)
})

test('lines of the library go to the log option, with a level', async t => {
  const lines = []
  const server = net.createServer(socket => socket.end('nonsense nonsense nonsense')).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const users = await Presence.start({ ...quick, logLevel: 'debug', join: [`127.0.0.1:${server.address().port}`], log: (line, { level }) => { if (level) lines.push([level, line]) } })
  t.after(async () => { await users.stop(); server.close() })
  await waitFor(() => lines.length > 0)
  assert.ok(lines.every(([level, line]) => ['error', 'warning', 'info', 'debug'].includes(level) && /\w/.test(line)))
})

test('what subscribers fold and callbacks fold equals the list of the other member, under load', async t => {
  const folds = []
  class Folding extends Named {
    keys = new Map()
    handleDiff (diff) {
      for (const { changes } of Object.values(diff)) {
        for (const { kind, topic, key, ref, prev_ref: prev } of changes) {
          const id = `${topic}/${key}`
          if (kind === 'update') assert.ok(this.keys.delete(prev))
          if (kind === 'leave') assert.ok(this.keys.delete(ref))
          else { assert.ok(!this.keys.has(ref)); this.keys.set(ref, id) }
        }
      }
    }
  }
  const lines = []
  const members = await pair(t, { log: (line, details) => { if (details.callback) lines.push(line) } }, Folding)
  let seed = 11
  const dice = n => (seed = (seed * 1103515245 + 12345) % 2147483648) % n
  const held = []
  for (let step = 0; step < 600; step++) {
    const member = members[dice(2)]
    if (dice(3) < 2 || held.length === 0) {
      const owner = member.owner()
      const topic = `t${dice(3)}`
      const key = `k${dice(10)}`
      member.track(owner, topic, key, { step })
      held.push({ member, owner, topic, key })
    } else if (dice(2)) {
      const { owner, topic, key } = held[dice(held.length)]
      owner.update(topic, key, { step })
    } else {
      held.splice(dice(held.length), 1)[0].owner.close()
    }
    if (step % 50 === 0) await new Promise(setImmediate)
  }
  const count = member => ['t0', 't1', 't2'].reduce((sum, topic) => sum + member.count(topic, { metas: true }), 0)
  await waitFor(() => members.every(member => count(member) === held.length))
  const want = []
  for (const topic of ['t0', 't1', 't2']) {
    const list = await members[0].list(topic)
    for (const [key, { metas }] of Object.entries(list)) for (const meta of metas) want.push(`${topic}/${key} ${meta.phx_ref}`)
    await waitFor(async () => require('node:util').isDeepStrictEqual(await members[1].list(topic), await members[0].list(topic)))
  }
  for (const member of members) {
    await member.settle()
    await waitFor(() => member.keys.size === held.length)
    folds.push([...member.keys].map(([ref, id]) => `${id} ${ref}`).sort())
  }
  const refs = text => text.sort()
  assert.deepEqual(folds[0], folds[1])
  assert.equal(folds[0].length, refs(want).length)
  assert.deepEqual(lines, [])
})

test('seeds come and go at run time', async t => {
  const one = await Presence.start({ name: 'one', ...quick })
  const two = await Presence.start({ name: 'two', ...quick })
  t.after(() => Promise.all([one.stop(), two.stop()]))
  two.addSeed([one.address, '127.0.0.1:9'])
  await waitFor(() => [one, two].every(all => all.members().filter(member => member.status === 'up').length === 2))
  assert.equal(two.removeSeed(`${one.address},127.0.0.1:9`), 2)
  assert.equal(two.removeSeed(one.address), 0)
  assert.equal(two.members().length, 2)
  assert.throws(() => two.addSeed('nonsense'), { code: 'ADDRESS' })
  assert.throws(() => two.addSeed('10.0.0.1:7946'), { code: 'UNSUPPORTED' })
  assert.throws(() => two.addSeed(7946.5), { code: 'INVALID_OPTION' })
  await two.stop()
  assert.throws(() => two.addSeed(one.address), { code: 'CLOSED' })
})
