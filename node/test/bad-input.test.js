// Bad input of every kind that the other files do not have: seeds that are no members, garbage in every option,
// update functions that pull the rug away, calls while values are read. docs/bad-input.md names the test of each.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const net = require('node:net')
const path = require('node:path')
const { once } = require('node:events')
const { spawn } = require('node:child_process')
const { createInterface } = require('node:readline')
const { Presence } = require('..')
const { options } = require('../lib/native.js')
const { startAlone, waitFor } = require('../testing.js')

const quick = { connectTimeoutMs: 200, heartbeatMs: 100 }

/** A server that says one thing to whoever comes, and keeps the connection; resolves to its address. */
async function server (t, says) {
  const kept = new Set()
  const listening = net.createServer(socket => {
    kept.add(socket)
    socket.on('error', () => {})
    if (says) socket.write(says)
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => listening.once('listening', resolve))
  t.after(() => {
    for (const socket of kept) socket.destroy()
    listening.close()
  })
  return `127.0.0.1:${listening.address().port}`
}

const seeds = {
  'an HTTP server': t => server(t, 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'),
  silent: t => server(t),
  'random bytes': t => server(t, Buffer.from(Array.from({ length: 5000 }, (_, n) => n * 7919 % 256))),
  'half a greeting': t => server(t, 'LPRE\x01\x00\x01'),
  nobody: () => '127.0.0.1:1',
  unresolvable: () => 'no-such-host.invalid:7946',
  'another cluster': async t => {
    const other = await Presence.start({ cluster: 'another' })
    t.after(() => other.stop())
    return other.address
  },
  'a thousand': () => Array.from({ length: 1000 }, (_, n) => `127.0.0.1:${n + 1}`)
}

for (const [what, seed] of Object.entries(seeds)) {
  test(`a seed that is no member (${what}): alone, and it works`, async t => {
    const lines = []
    const users = await Presence.start({ join: await seed(t), ...quick, log: line => lines.push(line) })
    t.after(() => users.stop())
    assert.equal(await users.synced({ timeout: 20000 }), 'alone')
    users.track(users.owner(), 'room', 'u1')
    assert.deepEqual(Object.keys(await users.list('room')), ['u1'])
    assert.equal(users.members().length, 1)
    if (what === 'another cluster') await waitFor(() => lines.some(line => /cluster/.test(line)))
  })
}

test('a seed that is ourselves is skipped', async t => {
  const first = await Presence.start()
  const { address } = first
  await first.stop()
  const users = await Presence.start({ listen: address, join: [address, `localhost:${address.split(':')[1]}`], ...quick })
  t.after(() => users.stop())
  assert.equal(await users.synced({ timeout: 20000 }), 'alone')
  assert.equal(users.members().length, 1)
})

test('garbage in every option is refused by name, or is good', () => {
  const garbage = [Symbol('s'), {}, [], [[]], [{}], NaN, Infinity, 1e300, -1, 2 ** 53, 1n, '', ' ', '\ud800', 'a\0b', 'x'.repeat(70000), '[::1]', '%s%n',
    true, () => {}, new Date(), new Proxy({}, { get () { throw new Error('looked at') } })]
  const names = options().map(({ name }) => name)
  assert.ok(names.length > 25)
  for (const name of names) {
    let refused = 0
    for (const value of garbage) {
      try {
        new Presence({ [name]: value })
      } catch (error) {
        assert.match(error.code, /^(INVALID_OPTION|UNSUPPORTED)$/, `${name}: ${error.stack}`)
        refused++
      }
    }
    assert.ok(refused >= 5, `${name}: ${refused}`)
  }
})

/** Stopping takes a while: a call that comes while it does is done, or is told so. */
function doneOrClosed (call) {
  try {
    call()
  } catch (error) {
    assert.equal(error.code, 'CLOSED')
  }
}

test('an update function that untracks, closes its owner or stops the tracker', async t => {
  const users = await startAlone()
  t.after(() => users.stop())
  const [owner, other] = [users.owner(), users.owner()]
  owner.track('room', 'u1', { n: 1 })
  other.track('room', 'u2', { n: 1 })
  assert.throws(() => owner.update('room', 'u1', meta => { owner.untrack('room', 'u1'); return { n: 2 } }), { code: 'NOT_TRACKED' })
  assert.throws(() => other.update('room', 'u2', meta => { other.close(); return { n: 2 } }), { code: 'OWNER_CLOSED' })
  assert.equal(users.count('room'), 0)
  owner.track('room', 'u1', { n: 1 })
  doneOrClosed(() => owner.update('room', 'u1', meta => { users.stop(); return { n: 2 } }))
})

test('values that call back while they are read', async t => {
  const users = await startAlone()
  t.after(() => users.stop())
  const owner = users.owner()
  let inside = 0
  const calls = { get a () { owner.track('room', `inside ${inside++}`); return 1 } }
  owner.track('room', 'outside', calls)
  assert.ok(inside > 0)
  assert.equal(users.count('room'), inside + 1)
  const throws = { get a () { throw new RangeError('mine') } }
  assert.throws(() => owner.track('room', 'u1', throws))
  assert.throws(() => owner.track({ get topic () { throw new RangeError('mine') } }, 'u1'))
  const stops = { get a () { users.stop(); return 1 } }
  doneOrClosed(() => owner.track('room', 'u1', stops))
})

/** A program that may have 80 open files, and ends with its input; line() is its next line of output. */
function startWithFewFiles (t, seed, body) {
  const head = `const { Presence } = require(${JSON.stringify(path.join(__dirname, '..'))}), { waitFor } = require(${JSON.stringify(path.join(__dirname, '../testing.js'))}),
    assert = require('node:assert/strict'), fs = require('node:fs'), seed = ${JSON.stringify(seed)}, quick = ${JSON.stringify(quick)}, taken = []
    function takeAll () { try { for (;;) taken.push(fs.openSync('/dev/null')) } catch (error) { assert.equal(error.code, 'EMFILE') } }
    function giveBack (count = taken.length) { for (const fd of taken.splice(0, count)) fs.closeSync(fd) }
    process.stdin.resume(); console.log('begun'); process.stdin.once('end', () => process.exit());`
  const child = spawn('sh', ['-c', 'ulimit -n 80; exec "$0" -e "$1"', process.execPath, `${head} (async () => { ${body} })()`], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  child.stdin.on('error', () => {}) // it may be over already
  t.after(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return { child, ended, line: async () => (await lines.next()).value }
}

test('no descriptors for start and dial: refused by name, or alone until there are some', async t => {
  const seed = await Presence.start({ ...quick })
  t.after(() => seed.stop())
  const { ended, line } = startWithFewFiles(t, seed.address, `
    const seen = new Set()
    for (let free = 0; !seen.has('synced'); free++) {
      assert.ok(free < 40)
      takeAll()
      giveBack(free)
      const users = await Presence.start({ join: [seed], ...quick }).catch(error => {
        assert.match(error.code, /^(INTERNAL|ADDRESS)$/)
        seen.add('refused')
      })
      if (users) seen.add(await users.synced({ timeout: 20000 }))
      giveBack()
      if (users) await waitFor(() => users.members().length === 2)
      await users?.stop()
    }
    console.log([...seen].join())
    process.exit(0)`)
  assert.equal(await line(), 'begun')
  assert.equal(await line(), 'refused,alone,synced')
  assert.deepEqual(await ended, [0, null])
})

test('no descriptors for accept: it says so, works on alone, and accepts when there are some', async t => {
  const { child, ended, line } = startWithFewFiles(t, null, `
    const lines = []
    const users = await Presence.start({ ...quick, log: text => lines.push(text) })
    takeAll()
    users.track(users.owner(), 'room', 'u1')
    console.log(users.address)
    await waitFor(() => lines.some(text => /accept.paused.*no descriptor/.test(text)))
    assert.deepEqual(Object.keys(await users.list('room')), ['u1'])
    console.log('paused')
    process.stdin.once('data', async () => {
      giveBack()
      await waitFor(() => users.members().length === 2)
      console.log('accepted')
    })`)
  assert.equal(await line(), 'begun')
  const address = await line()
  const users = await Presence.start({ join: [address], ...quick })
  t.after(() => users.stop())
  assert.equal(await line(), 'paused')
  assert.equal(await users.synced({ timeout: 20000 }), 'alone')
  child.stdin.write('go')
  await waitFor(() => users.count('room') === 1)
  assert.equal(await line(), 'accepted')
  child.stdin.end()
  assert.deepEqual(await ended, [0, null])
})
