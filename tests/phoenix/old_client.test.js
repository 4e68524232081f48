// A client of its time for version 1 of the wire: the official one of 2016 (phoenix 1.2.1), which knows no other.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { createRequire } = require('node:module')
const path = require('node:path')
const { Balancer } = require('./balancer.js')
const { WebSocket, answered, atEnd, byRef, connect, enter, push, root, same, startServers, until } = require('./world.js')
const { Presence, Socket } = createRequire(path.join(root, 'node/package.json'))('phoenix-v1')

/** A joined room as in world.js; its Presence is made of functions. */
async function enterOld (t, server, topic, params) {
  const socket = new Socket(server.url, { transport: WebSocket, reconnectAfterMs: tries => 500 * tries, heartbeatIntervalMs: 200 })
  const beats = []
  socket.onMessage(({ topic, payload }) => { if (topic === 'phoenix') beats.push(payload.status) })
  socket.connect()
  const channel = socket.channel(topic, params)
  const room = { channel, presence: { state: {} }, said: [], beats, joins: 0, errors: 0, closed: 0 }
  atEnd(t, () => { // it would come back until its heartbeats and its timer end
    socket.disconnect()
    clearInterval(socket.heartbeatTimer)
    socket.reconnectTimer.reset()
  })
  const told = [(key, current, { metas }) => room.said.push(`join ${key}`), (key, current, { metas }) => room.said.push(`leave ${key}`)]
  channel.on('presence_state', state => { room.presence.state = Presence.syncState(room.presence.state, state, ...told) })
  channel.on('presence_diff', diff => { room.presence.state = Presence.syncDiff(room.presence.state, diff, ...told) })
  channel.onError(() => { room.errors++ })
  channel.onClose(() => { room.closed++ })
  const joining = channel.join()
  joining.receive('ok', () => { room.joins++ })
  room.response = await answered(joining)
  return room
}

for (const [adapter, other] of [['uvicorn', 'ws'], ['ws', 'aiohttp'], ['aiohttp', 'fastify']]) {
  test(`a client of version 1 (${adapter}), one of version 2 (${other})`, async t => {
    const [here, there] = await startServers(t, [adapter, other])
    const balancer = await Balancer.start(t, [here])
    await assert.rejects(enterOld(t, here, 'room:1', { refuse: true }), /not you/)
    await assert.rejects(enterOld(t, here, 'nowhere', {}), /unmatched topic/)
    const bob = await enter(await connect(t, there), 'room:1', { user: 'bob', meta: { n: 1 } })
    const ann = await enterOld(t, balancer, 'room:1', { user: 'ann', meta: { n: 2 } })
    for (const room of [ann, bob]) await same(room, here, ['ann', 'bob'])

    await push(bob, 'update', { user: 'bob', meta: { n: 3 } })
    const { ref } = await push(ann, 'update', { user: 'ann', meta: { n: 4 } })
    await until(() => ann.presence.state.bob.metas[0].n === 3 && ann.presence.state.ann.metas[0].phx_ref === ref, 'both updates')
    assert.equal(ann.presence.state.ann.metas.length, 1)
    await assert.rejects(push(ann, 'dance', {}), /unmatched event/)
    await until(() => ann.beats.length > 1, 'heartbeats')
    assert.deepEqual([...new Set(ann.beats)], ['ok'])

    ann.said.length = 0
    const { joins } = ann
    balancer.cut()
    await until(() => ann.joins > joins, 'it to come back') // it joins again and again until it is answered
    for (const room of [ann, bob]) await same(room, here, ['ann', 'bob'])
    assert.deepEqual(ann.said.filter(line => line.endsWith('bob')), [])

    const before = { ...ann }
    ann.channel.push('crash', {}, 1000) // no answer comes
    await until(() => ann.joins > before.joins && ann.errors > before.errors, 'it to join again')
    for (const room of [ann, bob]) await same(room, here, ['ann', 'bob'])

    await answered(ann.channel.leave())
    await same(bob, there, ['bob'])
    assert.deepEqual([ann.closed, bob.errors, Object.keys(byRef(await here.list('room:1')))], [1, 0, ['bob']])
  })
}
