// A load balancer of TCP connections for the tests: the first server that takes the connection gets it. It can cut its
// connections, and freeze them: nothing passes any more and nobody is told.
'use strict'

const net = require('node:net')
const { atEnd } = require('./world.js')

class Balancer {
  #pairs = new Set()
  #server

  static async start (t, servers) {
    const balancer = new Balancer()
    balancer.servers = servers
    balancer.#server = net.createServer(client => balancer.#serve(client, [...balancer.servers]))
    await new Promise(resolve => balancer.#server.listen(0, '127.0.0.1', resolve))
    atEnd(t, () => {
      balancer.cut()
      balancer.#server.close()
    })
    balancer.url = `ws://127.0.0.1:${balancer.#server.address().port}/socket`
    return balancer
  }

  #serve (client, servers) {
    const server = servers.shift()
    if (!server) return client.destroy()
    const upstream = net.connect(server.port, '127.0.0.1')
    const refused = () => this.#serve(client, servers)
    client.on('error', () => {})
    upstream.once('error', refused)
    upstream.once('connect', () => {
      upstream.removeListener('error', refused)
      this.#join(client, upstream)
    })
  }

  #join (client, upstream) {
    const pair = [client, upstream]
    this.#pairs.add(pair)
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      from.on('error', () => {})
      from.on('close', () => {
        this.#pairs.delete(pair)
        to.destroy()
      })
      from.pipe(to)
    }
  }

  /** Every connection is over, and no end of the WebSocket was said. */
  cut () {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  /** Of what the server sends to its clients (or takes from them) nothing arrives from now on; connections stay. */
  freeze ({ toClients = true, toServers = true } = {}) {
    for (const [client, upstream] of this.#pairs) {
      if (toClients) upstream.unpipe(client).pause()
      if (toServers) client.unpipe(upstream).pause()
    }
  }

  /** Everything passes again. */
  thaw () {
    for (const [client, upstream] of this.#pairs) {
      upstream.pipe(client)
      client.pipe(upstream)
    }
  }
}

module.exports = { Balancer }
