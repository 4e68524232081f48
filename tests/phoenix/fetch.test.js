// What fetch costs with real clients: one call for all of them, and a call that hangs holds back its topic alone.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { Raw, connect, enter, push, startServers, until } = require('./world.js')

const CLIENTS = 100
const JOINS = 200

for (const adapter of ['uvicorn', 'ws']) {
  test(`${adapter}: a hundred subscribers, one join, one fetch`, async t => {
    const [server] = await startServers(t, [adapter], { fetch: true })
    const clients = []
    for (let i = 0; i < CLIENTS; i++) {
      const client = await Raw.open(t, server)
      client.silent()
      client.joins = []
      client.socket.on('message', data => {
        const [,,, event, payload] = JSON.parse(data)
        if (event === 'presence_state') client.stated = true
        if (event === 'presence_diff') client.joins.push(payload.joins)
      })
      await client.join('room:1', {})
      clients.push(client)
    }
    await until(() => clients.every(({ stated }) => stated), 'all to have the state')
    const before = (await server.ask('fetches')).length
    await server.ask('track', { topic: 'room:1', user: 'ann', meta: { n: 1 } })
    await until(() => clients.every(({ joins }) => joins.length === 1), 'all to see the join')
    for (const { joins: [{ ann }] } of clients) assert.deepEqual([ann.name, ann.metas[0].n], ['ANN', 1])
    assert.deepEqual((await server.ask('fetches')).slice(before), [['room:1', ['ann']]])
  })

  test(`${adapter}: a fetch that hangs holds back its topic alone`, async t => {
    const [server] = await startServers(t, [adapter], { fetch: true, presence: { fetch_timeout_ms: 600000 } })
    const quick = await enter(await connect(t, server), 'room:quick', {})
    const usual = await joinsTake(server, quick, 'a')
    const stuck = await Raw.open(t, server)
    await stuck.join('room:hang', { user: 'ann' })
    await until(async () => (await server.ask('fetches')).some(([topic]) => topic === 'room:hang'), 'the fetch to hang')
    const beside = await joinsTake(server, quick, 'b')
    assert.deepEqual(await push(quick, 'untrack', { user: 'nobody' }), { left: 0 })
    t.diagnostic(`p99 of a join ${usual.p99.toFixed(1)} ms, beside a fetch that hangs ${beside.p99.toFixed(1)} ms`)
  })
}

/** How long joins take from the server's track to the client's roster, one after another. */
async function joinsTake (server, room, prefix) {
  const times = []
  for (let i = 0; i < JOINS; i++) {
    const start = performance.now()
    const seen = new Promise(resolve => room.presence.onJoin(key => { if (key === `${prefix}${i}`) resolve() }))
    await server.ask('track', { topic: 'room:quick', user: `${prefix}${i}` })
    await seen
    times.push(performance.now() - start)
  }
  times.sort((a, b) => a - b)
  return { p99: times[Math.floor(times.length * 0.99)] }
}
