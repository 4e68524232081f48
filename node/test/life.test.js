// How a process, a worker or a copy of the package may end with a tracker open: always quietly.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { spawn } = require('node:child_process')
const { Worker } = require('node:worker_threads')
const { once } = require('node:events')
const { startAlone, waitFor } = require('../testing.js')

const root = path.join(__dirname, '..')
const head = `const { Presence } = require(${JSON.stringify(root)});`

/** Runs a program; resolves to { code, signal, out, err }, after 20 s to a killed one. */
function run (body) {
  return new Promise(resolve => {
    const child = spawn(process.execPath, ['-e', `${head} (async () => { ${body} })()`], { timeout: 20000, killSignal: 'SIGKILL' })
    let [out, err] = ['', '']
    child.stdout.on('data', data => { out += data })
    child.stderr.on('data', data => { err += data })
    child.on('close', (code, signal) => resolve({ code, signal, out, err }))
  })
}

const quiet = { code: 0, signal: null, out: '', err: '' }
const open = 'const users = await Presence.start(); const owner = users.owner(); users.track(owner, "room", "u1");'

test('an idle open tracker does not keep the process alive', async () => {
  assert.deepEqual(await run(open), quiet)
})

test('also with listeners, callbacks, a started subscription and a foreign owner', async () => {
  assert.deepEqual(await run(`
    class Users extends Presence { handleDiff () {} handleMetas () {} async fetch (t, p) { return p } }
    const users = await Users.start()
    users.on('diff', () => {}).on('member', () => {})
    const events = users.subscribe('room')
    await events.next()
    users.track(new (require('node:events'))(), 'room', 'u1')`), quiet)
})

test('process.exit with an open tracker, at once, in a callback, with work queued', async () => {
  const runs = await Promise.all([
    run(`${open} process.exit(7)`),
    run(`${open} users.on('diff', () => process.exit(7)); users.ref()
      users.track(owner, 'room', 'u2')`),
    run(`${open} users.subscribe('room'); for (let n = 0; n < 5000; n++) users.track(owner, 'room', n); process.exit(7)`),
    run(`${open} users.stop(); process.exit(7)`),
    run(`process.on('exit', () => { process.exitCode = 7 }); ${open}`)
  ])
  for (const result of runs) assert.deepEqual(result, { ...quiet, code: 7 })
})

test('an exception nobody caught ends the process as ever', async () => {
  const { code, signal, err } = await run(`${open} setTimeout(() => { throw new RangeError('mine') }, 1)`)
  assert.deepEqual([code, signal], [1, null])
  assert.match(err, /RangeError: mine/)
})

test('pending promises of ours keep the process alive', async () => {
  const { code, out, err } = await run(`
    const users = await Presence.start({ join: '127.0.0.1:9' })
    console.log(await users.synced())
    await users.stop()
    console.log('stopped')`)
  assert.deepEqual([code, out, err], [0, 'alone\nstopped\n', ''])
  const list = await run(`
    const users = await Presence.start({ fetch: () => new Promise(resolve => setTimeout(resolve, 50, {}).unref()) })
    users.track(users.owner(), 'room', 'u1')
    console.log(Object.keys(await users.list('room')))`)
  assert.deepEqual([list.code, list.out], [0, "[ 'u1' ]\n"])
})

test('a running for await keeps the process alive; when it ends the process does', async () => {
  const { code, out, err } = await run(`${open}
    setTimeout(() => users.track(owner, 'room', 'late'), 50).unref()
    for await (const { event, changes } of users.subscribe('room')) {
      if (event === 'presence_state') continue
      console.log(changes[0].key)
      break
    }`)
  assert.deepEqual([code, out, err], [0, 'late\n', ''])
})

test('ref keeps it alive, unref lets it go, also before start', async () => {
  const { code, out } = await run(`
    const users = new Presence().ref()
    await users.start()
    setTimeout(() => { console.log('alive'); users.unref() }, 50).unref()`)
  assert.deepEqual([code, out], [0, 'alive\n'])
  const twice = await run(`${open} users.ref().ref().unref()`)
  assert.deepEqual(twice, quiet)
})

const workerBody = `${head}
  const { parentPort } = require('node:worker_threads')
  Presence.start({ handleDiff () {} }).then(users => {
    const owner = users.owner()
    users.subscribe('room')
    for (let n = 0; n < 200; n++) users.track(owner, 'room', n)
    END
  })`

async function startWorker (end) {
  const worker = new Worker(workerBody.replace('END', end), { eval: true })
  worker.on('error', error => { throw error })
  return worker
}

test('workers end with trackers open: by themselves, by process.exit, by terminate', async () => {
  for (const end of ['', 'process.exit(0)', 'users.stop()', 'users.stop(); process.exit(0)']) {
    const workers = await Promise.all([1, 2, 3, 4].map(() => startWorker(end)))
    for (const [code] of await Promise.all(workers.map(worker => once(worker, 'exit')))) assert.equal(code, 0)
  }
  const busy = 'users.ref(); parentPort.postMessage("open"); setInterval(() => users.track(users.owner(), "room", "x"), 0)'
  const workers = await Promise.all([1, 2, 3, 4].map(() => startWorker(busy)))
  await Promise.all(workers.map(worker => once(worker, 'message')))
  await Promise.all(workers.map(worker => worker.terminate()))
})

test('a worker that is terminated in the middle of anything', async () => {
  for (let n = 0; n < 12; n++) {
    const worker = await startWorker('parentPort.postMessage("open"); for (;;) users.track(users.owner(), "room", "x")')
    if (n % 2) await once(worker, 'message')
    await worker.terminate()
  }
})

test('a process whose worker has a tracker may exit', async () => {
  const { code, signal, err } = await run(`
    const { Worker } = require('node:worker_threads')
    const worker = new Worker(${JSON.stringify(workerBody.replace('END', 'users.ref(); parentPort.postMessage("open")'))}, { eval: true })
    ${open}
    worker.once('message', () => process.exit(0))`)
  assert.deepEqual([code, signal, err], [0, null, ''])
})

test('two copies of the package in one process do not meet', async t => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lib presence '))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  for (const name of ['index.js', 'testing.js', 'package.json', 'lib', 'prebuilds']) fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true })
  const copy = require(folder)
  assert.notEqual(copy.Presence, require('..').Presence)
  const [one, two] = [await startAlone({ name: 'one' }), await require(path.join(folder, 'testing.js')).startAlone({ name: 'two' })]
  t.after(() => Promise.all([one.stop(), two.stop()]))
  const socket = new EventTarget()
  one.track(socket, 'room', 'u1')
  two.track(socket, 'room', 'u2')
  assert.deepEqual([Object.keys(await one.list('room')), Object.keys(await two.list('room'))], [['u1'], ['u2']])
  assert.throws(() => one.track(two.owner(), 'room', 'x'), { code: 'INVALID_OWNER' })
  socket.dispatchEvent(new Event('close'))
  assert.deepEqual([one.count('room'), two.count('room')], [0, 0])
})

test('many trackers in one process, stopped in any order', async () => {
  const all = await Promise.all(Array.from({ length: 12 }, () => startAlone()))
  for (const users of all) users.track(users.owner(), 'room', 'u1')
  await Promise.all(all.slice(6).map(users => users.stop()))
  await Promise.all(all.map(users => users.stop()))
  assert.equal(process.listeners('exit').filter(listener => listener.name === 'sayFarewell').length, 0)
  await waitFor(() => true)
})
