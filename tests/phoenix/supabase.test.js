// The client of Supabase, unchanged, at a Python and at a Node server of one cluster: presence, broadcast, tokens.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { Balancer } = require('./balancer.js')
const { RealtimeClient, WebSocket, atEnd, startServers, until } = require('./world.js')

async function subscribe (t, server, name, { config, token, ...options } = {}) {
  const client = new RealtimeClient(server.url, { transport: WebSocket, params: { apikey: 'anon' }, ...options })
  if (token) await client.setAuth(token)
  atEnd(t, () => client.disconnect())
  const channel = client.channel(name, { config })
  const room = { client, channel, said: [], heard: [], statuses: [] }
  for (const event of ['sync', 'join', 'leave']) {
    channel.on('presence', { event }, ({ key, newPresences, leftPresences } = {}) => {
      if (event !== 'sync') room.said.push([event, key, (newPresences ?? leftPresences).map(({ n }) => n)])
    })
  }
  channel.on('broadcast', { event: '*' }, message => room.heard.push(message))
  room.ready = new Promise((resolve, reject) => channel.subscribe((status, error) => {
    room.statuses.push(status)
    if (status === 'SUBSCRIBED') resolve()
    if (status === 'CHANNEL_ERROR') reject(error)
  }))
  return room
}

async function subscribed (...parameters) {
  const room = await subscribe(...parameters)
  await room.ready
  return room
}

/** {key: [n, …]} of what the client shows. */
const shown = room => Object.fromEntries(Object.entries(room.channel.presenceState()).map(([key, metas]) => [key, metas.map(({ n }) => n)]).sort())
const shows = (room, wanted) => until(() => JSON.stringify(shown(room)) === JSON.stringify(wanted), JSON.stringify(wanted))

test('clients of Supabase', async t => {
  const servers = await startServers(t, ['uvicorn', 'ws'])
  for (const [here, there] of [servers, [...servers].reverse()]) {
    await t.test(`${here.adapter}: track, update, the same again, untrack`, async t => {
      const name = `track-${here.adapter}`
      const ann = await subscribed(t, here, name, { config: { presence: { key: 'ann' } } })
      const bob = await subscribed(t, there, name)
      assert.equal(await ann.channel.track({ n: 1 }), 'ok')
      await shows(bob, { ann: [1] })
      const [{ presence_ref: ref }] = bob.channel.presenceState().ann
      assert.equal(await ann.channel.track({ n: 1 }), 'ok')
      assert.equal(await ann.channel.track({ n: 2 }), 'ok')
      for (const room of [ann, bob]) await shows(room, { ann: [2] })
      assert.notEqual(bob.channel.presenceState().ann[0].presence_ref, ref)
      assert.deepEqual(ann.channel.presenceState(), bob.channel.presenceState())
      assert.equal(await ann.channel.untrack(), 'ok')
      await shows(bob, {})
      assert.equal(await ann.channel.untrack(), 'ok')
      assert.equal(await ann.channel.track({ n: 3 }), 'ok')
      await shows(bob, { ann: [3] })
      await ann.client.removeChannel(ann.channel)
      await shows(bob, {})
      assert.deepEqual(bob.said, [
        ['join', 'ann', [1]], ['join', 'ann', [2]], ['leave', 'ann', [1]], ['leave', 'ann', [2]], ['join', 'ann', [3]], ['leave', 'ann', [3]]
      ])
      assert.deepEqual(ann.statuses, ['SUBSCRIBED', 'CLOSED'])
    })

    await t.test(`${here.adapter}: a key of its own for each client that names none, two tabs of one key`, async t => {
      const name = `keys-${here.adapter}`
      const one = await subscribed(t, here, name)
      const two = await subscribed(t, there, name)
      await one.channel.track({ n: 1 })
      await two.channel.track({ n: 2 })
      await until(() => Object.keys(shown(one)).length === 2, 'two keys')
      const tab = await subscribed(t, here, name, { config: { presence: { key: Object.keys(shown(one))[0] } } })
      await tab.channel.track({ n: 3 })
      await until(() => Object.values(shown(two)).some(metas => metas.length === 2), 'two metas')
      await tab.client.disconnect()
      await until(() => Object.values(shown(two)).every(metas => metas.length === 1), 'one meta each')
    })

    await t.test(`${here.adapter}: broadcasts, which it sends in binary frames`, async t => {
      const name = `broadcast-${here.adapter}`
      const ann = await subscribed(t, here, name, { config: { broadcast: { ack: true } } })
      const eve = await subscribed(t, here, name, { config: { broadcast: { self: true, ack: true } } })
      assert.equal(await ann.channel.send({ type: 'broadcast', event: 'wave', payload: { hand: 'ö' } }), 'ok')
      await until(() => eve.heard.length === 1, 'the broadcast')
      assert.deepEqual(eve.heard, [{ type: 'broadcast', event: 'wave', payload: { hand: 'ö' } }])
      assert.equal(await ann.channel.send({ type: 'broadcast', event: 'bytes', payload: new ArrayBuffer(4) }), 'error')
      assert.equal(await eve.channel.send({ type: 'broadcast', event: 'again', payload: {} }), 'ok')
      await until(() => eve.heard.length === 2 && ann.heard.length === 1, 'both to hear it')
      assert.deepEqual([ann.heard[0].event, eve.statuses], ['again', ['SUBSCRIBED']])
    })

    await t.test(`${here.adapter}: tokens at the join and later, heartbeats`, async t => {
      const beats = []
      const ann = await subscribed(t, here, `token-${here.adapter}`, {
        token: 'first', heartbeatCallback: status => beats.push(status)
      })
      await ann.client.setAuth('second')
      await until(async () => (await here.ask('tokens')).includes('second'), 'the second token')
      assert.ok((await here.ask('tokens')).includes('first'))
      await ann.client.sendHeartbeat()
      await until(() => beats.includes('ok'), 'a heartbeat and its reply')
      const eve = await subscribe(t, here, `token-${here.adapter}`, { token: 'wrong' })
      await assert.rejects(eve.ready, /wrong token/)
    })
  }

  await t.test('a connection that is cut: tracked again by the client, right everywhere', async t => {
    const [python, node] = servers
    const balancer = await Balancer.start(t, [python])
    const bob = await subscribed(t, node, 'cut')
    const ann = await subscribed(t, balancer, 'cut', { config: { presence: { key: 'ann' } }, reconnectAfterMs: () => 50 })
    await ann.channel.track({ n: 1 })
    await shows(bob, { ann: [1] })
    balancer.servers = [node]
    balancer.cut()
    await until(() => ann.statuses.filter(status => status === 'SUBSCRIBED').length === 2, 'the second join')
    await shows(bob, {})
    await ann.channel.track({ n: 2 })
    for (const room of [ann, bob]) await shows(room, { ann: [2] })
  })
})
