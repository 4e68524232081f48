// Who is in a room, with node:http and ws. (Browsers with the official `phoenix` client: libpresence/phoenix.)
//
//     npm install libpresence ws
//     LIBPRESENCE_LISTEN=127.0.0.1:7946 PORT=8000 node server.mjs
//     LIBPRESENCE_JOIN=127.0.0.1:7946   PORT=8001 node server.mjs        # a second server: the same rooms
import http from 'node:http'
import { Presence, PresenceError } from 'libpresence'
import { WebSocketServer } from 'ws'

const users = await Presence.start({ env: true }) // options from LIBPRESENCE_<OPTION>
const roomOf = url => /^\/rooms\/([\w-]+)(?:\/([\w-]+))?$/.exec(url)?.slice(1) ?? []

const server = http.createServer(async (request, response) => {
  const [room] = roomOf(request.url)
  response.writeHead(room ? 200 : 404, { 'content-type': 'application/json' })
  response.end(JSON.stringify(room ? await users.list(`room:${room}`) : {}))
})

// A WebSocket says its status as JSON, gets presence_state and every presence_diff ----
const sockets = new WebSocketServer({ noServer: true, maxPayload: 65536 })
server.on('upgrade', (request, socket, head) => {
  const [room, name] = roomOf(request.url)
  if (name) sockets.handleUpgrade(request, socket, head, accepted => beThere(accepted, `room:${room}`, name))
  else socket.destroy()
})

function beThere (socket, topic, name) {
  users.track(socket, topic, name, { status: 'online' }) // the socket is the owner: however it ends, this leaves
  socket.on('message', data => {
    try {
      users.update(socket, topic, name, JSON.parse(data))
    } catch (error) {
      if (!(error instanceof PresenceError || error instanceof SyntaxError)) throw error
      socket.close(1008, 'not a status')
    }
  })
  socket.on('error', () => {}) // a reset is the end like any other
  socket.isAlive = true
  socket.on('pong', () => { socket.isAlive = true })
  tell(socket, topic)
}

async function tell (socket, topic) {
  const ended = new AbortController()
  socket.on('close', () => ended.abort())
  try {
    for await (const { event, text } of users.subscribe(topic, { signal: ended.signal })) {
      socket.send(`{"event":"${event}","payload":${text}}`)
    }
  } catch (error) {
    if (error.name !== 'AbortError') throw error
  }
}

const pings = setInterval(() => { // a client whose machine went dark never closes: no answer to a ping is its end
  for (const socket of sockets.clients) {
    if (!socket.isAlive) socket.terminate()
    socket.isAlive = false
    socket.ping()
  }
}, 20_000)

server.listen(process.env.PORT ?? 8000, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
for (const name of ['SIGTERM', 'SIGINT']) {
  process.once(name, async () => {
    clearInterval(pings)
    server.close()
    for (const socket of sockets.clients) socket.close(1012)
    await users.stop()
  })
}
