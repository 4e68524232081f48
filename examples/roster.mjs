// roster.mjs: a line-based presence server; roster.c and roster.py are the same in C and Python.
//
//     roster.mjs PORT [OPTION=VALUE …]        e.g. roster.mjs 7003 name=node join=127.0.0.1:7946
//     page=PORT                               also serves the page of page/; its button prints "kill NAME" for who started us
//
// A connection says, one line each:
//     join ROOM NAME [JSON]   be in a room; first its state comes back, then every change, as JSON lines
//     update JSON             change what the others see
//     leave                   leave the room
//     list ROOM | members     ask this member what it sees
// A connection owns what it joined: however it ends, its presence leaves, on every member of the cluster.
import net from 'node:net'
import readline from 'node:readline'
import { Presence, PresenceError } from '../node/index.mjs'

const [port, ...settings] = process.argv.slice(2)
const options = Object.fromEntries(settings.map(text => {
  const [name, value] = text.split(/=(.*)/s)
  return [name, name === 'join' ? value.split(',') : value]
}))
if (!/^\d+$/.test(port)) {
  console.error('usage: roster.mjs PORT [OPTION=VALUE …]')
  process.exit(2)
}
const { page: pagePort, ...memberOptions } = options
const users = await Presence.start(memberOptions)
const page = pagePort === undefined
  ? undefined
  : await (await import('./page/serve.mjs')).servePage(users, Number(pagePort), name => console.log('kill', name))

class Connection {
  room = null

  constructor (socket) {
    this.socket = socket
    this.owner = users.owner()
    socket.setNoDelay(true)
    socket.on('error', () => {}) // a reset is the end like any other
    socket.on('close', () => { this.reading?.abort(); this.owner.close() }) // whatever it owned leaves
    const lines = readline.createInterface({ input: socket })
    lines.on('line', line => this.runLine(line))
    lines.on('error', () => {}) // newer versions of Node tell it of the reset as well
  }

  say (event) { this.socket.write(JSON.stringify(event) + '\n') }

  join (room, name, ...meta) {
    this.leave()
    users.track(this.owner, room, name, JSON.parse(meta.join(' ') || '{}'))
    this.room = room
    this.name = name
    this.reading = new AbortController()
    this.forward(room, this.reading.signal).catch(error => { if (error.name !== 'AbortError') throw error })
  }

  async forward (room, signal) {
    for await (const { event, text } of users.subscribe(room, { signal })) {
      this.socket.write(`{"topic":${JSON.stringify(room)},"event":"${event}","payload":${text}}\n`)
    }
  }

  update (...meta) { users.update(this.owner, this.room ?? 'none', this.name ?? 'none', JSON.parse(meta.join(' '))) }

  leave () {
    if (this.room === null) return
    this.reading.abort()
    users.untrack(this.owner, this.room, this.name)
    this.room = null
  }

  async list (...words) {
    const room = words.join(' ')
    const payload = await users.list(room)
    this.say({ event: 'list', keys: users.count(room), metas: users.count(room, { metas: true }), payload })
  }

  members () { this.say({ event: 'members', payload: Object.fromEntries(users.members().map(m => [m.name, m.status])) }) }

  async runLine (line) {
    const [command, ...rest] = line.split(' ')
    const least = new Map(Object.entries({ join: 2, update: 1, leave: 0, list: 1, members: 0 })).get(command)
    try {
      if (least === undefined || rest.length < least) {
        throw new SyntaxError('say join ROOM NAME [JSON], update JSON, leave, list ROOM or members')
      }
      await this[command](...rest)
    } catch (error) {
      if (!(error instanceof PresenceError || error instanceof SyntaxError)) throw error
      this.say({ event: 'error', payload: { reason: error.message } })
    }
  }
}

const sockets = new Set()
const server = net.createServer(socket => {
  sockets.add(socket.on('close', () => sockets.delete(socket)))
  new Connection(socket)
})
server.listen(Number(port), '127.0.0.1', () => {
  console.log(['ready', server.address().port, users.address, page?.port].filter(word => word !== undefined).join(' '))
})

for (const name of ['SIGTERM', 'SIGINT']) {
  process.once(name, async () => {
    server.close()
    for (const socket of sockets) socket.destroy()
    await page?.close()
    await users.stop()
  })
}
