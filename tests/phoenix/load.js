// What many clients cost two servers of one cluster, one of Python and one of Node (ci/load).
//
// Phases: all connect and join at once; all rosters are right; a tenth leaves, half of it without a word; all rosters are
// right; all are gone. A roster is folded from what came, by ref, and compared with what both servers list. Exits 1 when
// a roster does not become right within the deadline.
'use strict'

const fs = require('node:fs')
const { WebSocket, startServers } = require('./world.js')

const CLIENTS = Number(process.argv[2] ?? 2000)
const ROOMS = Number(process.argv[3] ?? 20)
const DEADLINE_MS = 180000
const WATCH_MS = 20
const TICKS_PER_SECOND = 100 // of /proc/PID/stat on Linux

class Client {
  constructor (server, topic, user) {
    Object.assign(this, { server, topic, user, shown: new Map(), bytes: 0, messages: 0, gone: false })
  }

  open () {
    this.socket = new WebSocket(`${this.server.url}/websocket?vsn=2.0.0`, { perMessageDeflate: false })
    this.socket.on('error', error => { this.error = error })
    this.socket.on('close', code => { this.code = code })
    this.socket.on('open', () => this.say('phx_join', { user: this.user, meta: { status: 'online' } }))
    this.socket.on('message', data => this.take(data))
  }

  say (event, payload) { this.socket.send(JSON.stringify(['1', '1', this.topic, event, payload])) }

  take (data) {
    this.bytes += data.length
    this.messages++
    const [,,, event, payload] = JSON.parse(data)
    if (event === 'presence_state') {
      this.shown.clear()
      this.fold(payload, true)
    } else if (event === 'presence_diff') {
      this.fold(payload.joins, true)
      this.fold(payload.leaves, false)
    }
  }

  fold (presences, here) {
    for (const [key, { metas }] of Object.entries(presences)) {
      for (const { phx_ref: ref } of metas) here ? this.shown.set(ref, key) : this.shown.delete(ref)
    }
  }

  leave (politely) {
    this.gone = true
    if (politely) this.say('phx_leave', {})
    else this.socket.terminate()
  }
}

function usage ({ pid }) {
  const [, rss] = fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+) kB/)
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return { rss: rss * 1024, cpu: (Number(stat[11]) + Number(stat[12])) / TICKS_PER_SECOND }
}

/** Waits until every client shows as many as are in its room; then compares all of them with both lists, by ref. */
async function settled (clients, servers, since) {
  const rooms = grouped(clients)
  const wanted = new Map([...rooms].map(([topic, all]) => [topic, all.filter(client => !client.gone).length]))
  const right = client => client.gone || client.shown.size === wanted.get(client.topic)
  while (!clients.every(right)) {
    if (performance.now() - since > DEADLINE_MS) {
      const wrong = clients.filter(client => !right(client))
      throw new Error(`${wrong.length} rosters are wrong, the first has ${wrong[0].shown.size}: ${wrong[0].error ?? wrong[0].code}`)
    }
    await new Promise(resolve => setTimeout(resolve, WATCH_MS))
  }
  const took = performance.now() - since
  for (const [topic, all] of rooms) {
    for (const server of servers) {
      const listed = Object.values(await server.list(topic)).flatMap(({ metas }) => metas.map(({ phx_ref: ref }) => ref)).sort().join()
      for (const client of all) {
        if (!client.gone && [...client.shown.keys()].sort().join() !== listed) throw new Error(`${client.user} shows another roster than ${server.adapter} lists`)
      }
    }
  }
  return took
}

function grouped (clients) {
  const rooms = new Map()
  for (const client of clients) {
    if (!rooms.has(client.topic)) rooms.set(client.topic, [])
    rooms.get(client.topic).push(client)
  }
  return rooms
}

function print (phase, took, clients, servers, before) {
  const now = servers.map(usage)
  const received = clients.reduce((sum, { bytes }) => sum + bytes, 0)
  const messages = clients.reduce((sum, { messages }) => sum + messages, 0)
  console.log(`${phase.padEnd(28)} ${(took / 1000).toFixed(2).padStart(7)} s   ${String(messages).padStart(8)} messages, ${(received / 1e6).toFixed(1)} MB to clients`)
  for (const [i, server] of servers.entries()) {
    const mine = clients.filter(client => client.server === server).length
    const perClient = Math.round((now[i].rss - before[i].rss) / mine)
    console.log(`    ${server.adapter.padEnd(8)} ${(now[i].rss / 1e6).toFixed(1).padStart(6)} MB, ${perClient} bytes per client; CPU ${(now[i].cpu - before[i].cpu).toFixed(2)} s`)
  }
  const { user, system } = process.cpuUsage()
  console.log(`    clients  CPU ${((user + system) / 1e6).toFixed(2)} s`)
}

async function main (t) {
  const servers = await startServers(t, ['uvicorn', 'ws'], { deflate: false })
  const before = servers.map(usage)
  const clients = Array.from({ length: CLIENTS }, (_, i) => new Client(servers[i % 2], `room:${Math.floor(i / 2) % ROOMS}`, `user-${i}`))
  console.log(`${CLIENTS} clients, ${ROOMS} rooms, servers: ${servers.map(({ adapter }) => adapter).join(' and ')}`)

  let start = performance.now()
  for (const client of clients) client.open()
  print('all joined, rosters right', await settled(clients, servers, start), clients, servers, before)

  start = performance.now()
  for (const [i, client] of clients.entries()) {
    const seat = Math.floor(i / 2 / ROOMS) // in its room, at its server
    if (seat % 10 === 3) client.leave(seat % 20 === 3)
  }
  print('a tenth left, rosters right', await settled(clients, servers, start), clients, servers, before)

  start = performance.now()
  for (const client of clients) client.leave(false)
  for (const server of servers) {
    while (await server.ask('sockets') > 0 || Object.keys(await server.list('room:0')).length > 0) {
      if (performance.now() - start > DEADLINE_MS) throw new Error(`${server.adapter} holds sockets or entries of clients that are gone`)
    }
  }
  print('all are gone', performance.now() - start, clients, servers, before)
}

const after = []
main({ after: work => after.push(work) })
  .catch(error => {
    console.error(error.message)
    process.exitCode = 1
  })
  .finally(() => Promise.all(after.map(work => work())))
