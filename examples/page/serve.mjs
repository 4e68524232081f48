// Serves the page of this folder and its channels beside a Presence, with node:http; serve.py is the same in Python.
//
//     room:<name>   clients watch; one that says it is "here" is present, with a status that the server completes
//     servers       one entry per server that has a page; members come and go as "members" events
import fs from 'node:fs/promises'
import http from 'node:http'
import { Endpoint, Refuse } from '../../node/phoenix.mjs'

const at = path => new URL(path, import.meta.url)
const FILES = new Map([
  ['/', ['text/html', at('index.html')]],
  ['/page.css', ['text/css', at('page.css')]],
  ['/page.js', ['text/javascript', at('page.js')]],
  ['/people.js', ['text/javascript', at('people.js')]],
  ['/icon.svg', ['image/svg+xml', at('icon.svg')]],
  ['/phoenix.mjs', ['text/javascript', at('../../node/node_modules/phoenix/priv/static/phoenix.mjs')]]
])
const HEADERS = {
  'content-security-policy': "default-src 'self'; connect-src 'self' ws:; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-cache'
}
const LANGUAGE = `Node ${process.versions.node.split('.')[0]}`

/** Serves until close(): { port, close }. kill(name) is what the page's button does. */
export async function servePage (users, port, kill) {
  const name = users.members()[0].name
  const members = () => ({
    self: name,
    members: users.members().map(({ name, status, address }) => ({ name, status, address }))
  })
  const endpoint = new Endpoint(users)
  endpoint.channel('room:*', room(name))
  endpoint.channel('servers', {
    join: members,
    event (event, payload) {
      const others = members().members.map(member => member.name).filter(other => other !== name)
      if (event !== 'kill' || !others.includes(payload?.member)) throw new Refuse('say kill and the name of another member')
      kill(payload.member)
      return {}
    }
  })
  const tellMembers = () => endpoint.broadcast('servers', 'members', members())
  users.on('member', tellMembers)

  const server = http.createServer(file)
  endpoint.attach(server, { path: '/socket' })
  await new Promise((resolve, reject) => server.on('error', reject).listen(port, '127.0.0.1', resolve))
  const owner = users.owner()
  owner.track('servers', name, { language: LANGUAGE, port: server.address().port })
  return {
    port: server.address().port,
    async close () {
      users.off('member', tellMembers)
      owner.close()
      await endpoint.close()
      server.close()
      server.closeAllConnections()
    }
  }
}

async function file (request, response) {
  const [type, path] = FILES.get(request.url.split('?')[0]) ?? []
  response.writeHead(path ? 200 : 404, { ...HEADERS, 'content-type': `${type ?? 'text/plain'}; charset=utf-8` })
  response.end(path ? await fs.readFile(path) : 'not found')
}

function text (value, most, what) {
  if (typeof value !== 'string' || value.length > most || /[\p{Cc}\p{Cs}]/u.test(value)) {
    throw new Refuse(`${what} is a text of at most ${most} characters`)
  }
  return value.trim()
}

function room (member) {
  function beHere (me, socket) {
    const name = text(me?.name, 40, 'a name')
    if (!name || !['online', 'away', 'busy'].includes(me.status)) throw new Refuse('say a name, and a status of online, away or busy')
    const meta = {
      status: me.status,
      typing: me.typing === true,
      note: text(me.note ?? '', 140, 'a note'),
      device: text(me.device ?? '', 40, 'a device'),
      member,
      language: LANGUAGE
    }
    const before = socket.assigns
    if (name !== before.name) {
      socket.untrack()
      socket.assigns = { name, since: Date.now() }
      socket.track(name, { ...meta, since: socket.assigns.since })
    } else {
      socket.update(name, { ...meta, since: before.since })
    }
  }
  return {
    join (topic, params, socket) {
      if (params?.here) beHere(params.here, socket) // also after a reconnect: the client says again who is here
    },
    event (event, payload, socket) {
      if (event === 'here') {
        beHere(payload, socket)
      } else if (event === 'gone') {
        socket.assigns = {}
        socket.untrack()
      } else {
        throw new Refuse(`unknown event ${event}`)
      }
      return {}
    }
  }
}
