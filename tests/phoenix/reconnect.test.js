// Clients whose server goes: killed, stopped, or cut off. They come back by themselves, to another server if need be, and
// see no leave of those who stayed.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { Balancer } = require('./balancer.js')
const { NODE_ADAPTERS, PYTHON_ADAPTERS, Server, atEnd, connect, enter, same, startServers, until } = require('./world.js')

const SOON = { reconnectAfterMs: () => 50 }
const left = room => room.said.filter(([what]) => what === 'leave').map(([, key]) => key)

/** A roster told by onJoin and onLeave alone, by ref, must be the roster that the client holds. */
function toldIsShown (room) {
  const told = new Set()
  for (const [what, , , { metas }] of room.said) {
    for (const { phx_ref: ref } of metas) what === 'join' ? told.add(ref) : told.delete(ref)
  }
  const shown = Object.values(room.presence.state).flatMap(({ metas }) => metas.map(({ phx_ref: ref }) => ref))
  assert.deepEqual([...told].sort(), shown.sort())
}

for (const [adapter, other] of [['uvicorn', 'ws'], ['ws', 'uvicorn']]) {
  test(`kill -9 of a server (${adapter}): its client comes back at the other, nobody who stayed leaves`, async t => {
    const [killed, staying] = await startServers(t, [adapter, other])
    const balancer = await Balancer.start(t, [killed, staying])
    const bob = await enter(await connect(t, staying), 'room:1', { user: 'bob', meta: { n: 1 } })
    const bea = await enter(await connect(t, staying), 'room:1', { user: 'bea', meta: { n: 2 } })
    const ann = await enter(await connect(t, balancer), 'room:1', { user: 'ann', meta: { n: 3 } })
    const carl = await enter(await connect(t, killed, SOON), 'room:1', { user: 'carl', meta: { n: 4 } })
    for (const room of [bob, bea, ann, carl]) await same(room, staying, ['ann', 'bea', 'bob', 'carl'])
    const [old] = ann.presence.state.ann.metas

    killed.signal('SIGKILL')
    await killed.ended
    await until(async () => (await staying.list('room:1')).ann?.metas.some(({ phx_ref: ref }) => ref !== old.phx_ref), 'ann to come back')
    for (const room of [bob, bea, ann]) await same(room, staying, ['ann', 'bea', 'bob'])
    assert.deepEqual(left(ann).sort(), ['ann', 'carl'])
    assert.deepEqual(ann.said.filter(([, key]) => key === 'bob' || key === 'bea').map(([what, key]) => `${what} ${key}`).sort(), ['join bea', 'join bob'])
    for (const room of [bob, bea]) assert.deepEqual(left(room).sort(), ['ann', 'carl'])

    const { options } = killed
    const presence = { ...options.presence, join: [staying.address] }
    const again = await Server.start(adapter, { ...options, presence, port: killed.port })
    atEnd(t, () => again.stop())
    for (const room of [bob, bea, ann, carl]) await same(room, staying, ['ann', 'bea', 'bob', 'carl'])
    for (const room of [bob, bea]) assert.deepEqual(left(room).sort(), ['ann', 'carl'])
    assert.deepEqual(left(carl).filter(key => key === 'bob' || key === 'bea'), [])
    for (const room of [bob, bea, ann, carl]) toldIsShown(room)
  })
}

for (const adapter of [...PYTHON_ADAPTERS, ...NODE_ADAPTERS]) {
  test(`${adapter}: cut off, and stopped: a leave at once, and its client comes back`, async t => {
    const [stopped, staying] = await startServers(t, [adapter, adapter === 'ws' ? 'uvicorn' : 'ws'])
    const balancer = await Balancer.start(t, [stopped, staying])
    const bob = await enter(await connect(t, staying), 'room:1', { user: 'bob' })
    const socket = await connect(t, balancer, SOON)
    const codes = []
    socket.onClose(event => codes.push(event?.code))
    const ann = await enter(socket, 'room:1', { user: 'ann' })
    for (const room of [ann, bob]) await same(room, staying, ['ann', 'bob'])
    const returned = async from => {
      await until(() => ann.syncs > from, 'the state after the reconnect')
      for (const room of [ann, bob]) await same(room, staying, ['ann', 'bob'])
    }

    let { syncs } = ann
    balancer.cut()
    await until(() => left(bob).length === 1, 'the leave')
    await returned(syncs)
    assert.deepEqual([ann.errors, ann.closed], [1, 0])

    syncs = ann.syncs
    assert.equal(await stopped.stop(), 0, stopped.errors)
    assert.equal(stopped.errors, '')
    await returned(syncs)
    assert.deepEqual([codes.length, codes[1]], [2, 1012])
    for (const room of [ann, bob]) {
      await until(() => left(room).length === 2, 'two leaves')
      assert.deepEqual(left(room), ['ann', 'ann'])
      toldIsShown(room)
    }
  })
}
