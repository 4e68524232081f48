// The Node package: calls, lists, delivery, and the Node side of the latency between languages.
// usage: bench_node.js calls [N] | memory [N] | subscribe | read COUNT | write COUNT ADDRESS
'use strict'
const { Presence } = require('../../node')

const OWNERS = 1000
const TOPIC_ENTRIES = 10

function report (name, value, unit) {
  console.log(`${name}\t${value.toPrecision(6)}\t${unit}`)
}

// CPU seconds of this thread, where Node tells it, else of the process
function cpu () {
  const { user, system } = process.threadCpuUsage ? process.threadCpuUsage() : process.cpuUsage()
  return (user + system) / 1e6
}

// [topic, key, meta] of each presence, as in bench_load.h
function load (count) {
  return Array.from({ length: count }, (_, i) => [
    'room:' + String(Math.floor(i / TOPIC_ENTRIES)).padStart(8, '0'),
    'u' + String(i).padStart(10, '0'),
    { status: 'online', at: 1000000000 + i, d: 1 }
  ])
}

async function calls (count) {
  const presences = load(count)
  const users = await Presence.start({ listen: '' })
  const owners = Array.from({ length: OWNERS }, () => users.owner())
  let start = cpu()
  presences.forEach(([topic, key, meta], i) => users.track(owners[i % OWNERS], topic, key, meta))
  report('node.track', count / (cpu() - start), '/s')
  start = cpu()
  presences.forEach(([topic, key], i) => users.update(owners[i % OWNERS], topic, key, { status: 'absent', at: 1000000000, d: 2 }))
  report('node.update', count / (cpu() - start), '/s')
  owners.forEach(owner => owner.close())
  const owner = users.owner()
  start = cpu()
  for (let first = 0; first < count; first += 100) users.trackMany(owner, presences.slice(first, first + 100))
  report('node.track_many', count / (cpu() - start), '/s')
  users.trackMany(owner, presences.slice(0, 100).map(([, key, meta]) => ['list', key, meta]))
  start = cpu()
  for (let i = 0; i < 500; i++) await users.list('list')
  report('node.list.100', (cpu() - start) / 500 * 1e6, 'us')
  await users.stop()
}

// Bytes of memory this process has, what JavaScript and the library hold alike.
function resident () {
  require('node:v8').setFlagsFromString('--expose-gc')
  const gc = require('node:vm').runInNewContext('gc')
  gc(); gc()
  return process.memoryUsage.rss()
}

// The texts are made one by one and dropped, so what stays is what a presence costs.
async function memory (count) {
  const [topic, key, meta] = [
    i => 'room:' + String(Math.floor(i / TOPIC_ENTRIES)).padStart(8, '0'),
    i => 'u' + String(i).padStart(10, '0'),
    (i, status) => ({ status, at: 1000000000 + i, d: 1 })
  ]
  const users = await Presence.start({ listen: '' })
  const owners = Array.from({ length: OWNERS }, () => users.owner())
  // first the code is compiled and the heap has grown to what calls need
  for (let i = 0; i < 20000; i++) {
    users.track(owners[0], 'first', key(i), meta(i, 'online'))
    users.update(owners[0], 'first', key(i), meta(i, 'absent'))
  }
  const before = resident()
  for (let i = 0; i < count; i++) users.track(owners[i % OWNERS], topic(i), key(i), meta(i, 'online'))
  report('node.memory.0', (resident() - before) / count, 'B')
  for (let i = 0; i < count; i++) users.update(owners[i % OWNERS], topic(i), key(i), meta(i, 'absent'))
  report('node.memory.100', (resident() - before) / count, 'B')
  await users.stop()
}

// Every diff is one join; tracked in bursts outside the time, so that delivery alone is measured.
async function subscribe () {
  const bursts = 20
  const size = 1000
  let took = 0
  const users = await Presence.start({ listen: '' })
  const events = users.subscribe('room')[Symbol.asyncIterator]()
  await events.next()
  for (let burst = 0; burst < bursts; burst++) {
    const owner = users.owner()
    for (let i = 0; i < size; i++) users.track(owner, 'room', 'u' + i, { status: 'online', at: 1000000000 + i, d: 1 })
    const start = cpu()
    for (let i = 0; i < size; i++) await events.next()
    took += cpu() - start
    owner.close()
    await events.next()
  }
  report('node.subscribe', bursts * size / took, 'diffs/s')
  await events.return()
  await users.stop()
}

const now = () => Number(process.hrtime.bigint())

async function read (count) {
  const took = []
  const users = await Presence.start()
  const events = users.subscribe('latency')
  console.log(users.address)
  for await (const { event, changes } of events) {
    const at = now()
    if (event === 'presence_diff') {
      for (const change of changes) if (change.kind === 'join') took.push((at - change.meta.t) / 1e6)
    }
    if (took.length >= count) break
  }
  await users.stop()
  took.sort((a, b) => a - b)
  console.log(took[Math.floor(took.length / 2)], took[Math.floor(took.length * 0.99)])
}

async function write (count, address) {
  const users = await Presence.start({ listen: '', join: [address] })
  await users.synced({ timeout: 5000 })
  const owner = users.owner()
  for (let i = 0; i < count; i++) {
    await new Promise(resolve => setTimeout(resolve, 5))
    users.track(owner, 'latency', 'k' + i, { t: now() })
  }
  await new Promise(resolve => process.stdin.on('end', resolve).resume())
  await users.stop()
}

const [what, first, second] = process.argv.slice(2)
const modes = {
  calls: () => calls(Number(first || 100000)),
  memory: () => memory(Number(first || 400000)),
  subscribe,
  read: () => read(Number(first)),
  write: () => write(Number(first), second)
}
if (modes[what]) modes[what]()
else { console.error('usage: bench_node.js calls [N] | memory [N] | subscribe | read COUNT | write COUNT ADDRESS'); process.exitCode = 2 }
