// Scenarios 84 to 97 (docs/scenarios.md): the official client over real sockets, both versions of the wire. Each client
// watches at one server, what it watches happens at the other, which is written in the other language.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { Presence, byRef, connect, enter, push, same, startServers, until } = require('./world.js')

const ODD_KEYS = ['__proto__', 'constructor', 'hasOwnProperty', 'toString']
const names = said => said.map(([what, key]) => `${what} ${key}`)
const metas = (room, key) => room.presence.state[key]?.metas.map(({ n }) => n)

/** What one scenario has: watch(params) enters the room at this server, act(user, meta) enters it at the other. */
function stage (t, here, there, vsn, topic) {
  const people = topic.startsWith('own:') ? { state: 'people_state', diff: 'people_diff' } : undefined
  return {
    here,
    topic,
    watch: async (params = {}) => enter(await connect(t, here, { vsn }), topic, params, people),
    act: async (user, meta) => {
      const room = await enter(await connect(t, there, { vsn }), topic, people ? {} : { user, meta }, people)
      if (people) await push(room, 'track', { user, meta })
      const listed = async server => JSON.stringify(byRef(await server.list(topic)))
      await until(async () => await listed(here) === await listed(there), `${user} to be seen here`)
      return room
    },
    listed: keys => until(async () => Object.keys(await here.list(topic)).sort().join() === [...keys].sort().join(), `${keys} here`)
  }
}

/** The client loses its connection, something happens, it comes back and joins again by itself. */
async function away (room, happens) {
  const { socket } = room.channel
  await new Promise(resolve => socket.disconnect(resolve))
  await happens()
  const { syncs } = room
  room.said.length = 0
  socket.connect()
  await until(() => room.syncs > syncs, 'the state after the reconnect')
}

const scenarios = {
  '84 a state into an empty roster; nothing is changed in what came': async ({ act, watch, here }) => {
    await act('ann', { n: 1 })
    await act('bob', { n: 2 })
    const room = await watch()
    await same(room, here, ['ann', 'bob'])
    assert.deepEqual(names(room.said).sort(), ['join ann', 'join bob'])
    const { payload } = room.channel.socket.raw.find(({ event }) => event === 'presence_state')
    const current = Object.freeze({})
    const text = JSON.stringify(payload)
    const state = Presence.syncState(current, payload)
    assert.deepEqual(byRef(state), byRef(room.presence.state))
    assert.deepEqual([current, JSON.stringify(payload)], [{}, text])
  },

  '85 whole presences that came and went while the client was away': async ({ act, watch, here, listed }) => {
    const ann = await act('ann', { n: 1 })
    await act('bob', { n: 2 })
    const room = await watch()
    await away(room, async () => {
      await ann.channel.leave()
      await act('eve', { n: 3 })
      await listed(['bob', 'eve'])
    })
    assert.deepEqual(names(room.said), ['join eve', 'leave ann'])
    const [[, , current, added], [, , left, gone]] = room.said
    assert.deepEqual([current, added.metas[0].n, left.metas, gone.metas[0].n], [undefined, 3, [], 1])
    await same(room, here, ['bob', 'eve'])
  },

  '86 a meta that was added is all that joins': async ({ act, watch, here }) => {
    await act('ann', { n: 1 })
    const room = await watch()
    await away(room, async () => {
      await act('ann', { n: 2 })
    })
    const [[what, key, current, added], ...others] = room.said
    assert.deepEqual([what, key, others], ['join', 'ann', []])
    assert.deepEqual([current.metas.map(({ n }) => n), added.metas.map(({ n }) => n)], [[1], [2]])
    await same(room, here, ['ann'])
  },

  '87 a diff into an empty roster': async ({ act, watch, here }) => {
    const room = await watch()
    assert.deepEqual([room.said, Object.keys(room.presence.state)], [[], []])
    await act('ann', { n: 1 })
    await same(room, here, ['ann'])
    const { payload } = room.channel.socket.raw.findLast(({ event }) => event === 'presence_diff')
    assert.deepEqual([Object.keys(payload), Object.keys(payload.joins), payload.leaves], [['joins', 'leaves'], ['ann'], {}])
  },

  '88 a key goes with its last meta; another meta of a key comes behind': async ({ act, watch, here }) => {
    const first = await act('ann', { n: 1 })
    const room = await watch()
    const second = await act('ann', { n: 2 })
    await until(() => metas(room, 'ann')?.length === 2, 'the second meta')
    assert.deepEqual(metas(room, 'ann'), [1, 2])
    await first.channel.leave()
    await second.channel.leave()
    await same(room, here, [])
    assert.equal(room.said.at(-1)[0], 'leave')
    assert.deepEqual(Object.getOwnPropertyNames(room.presence.state), [])
  },

  '89 one meta of several goes': async ({ act, watch, here }) => {
    const first = await act('ann', { n: 1 })
    await act('ann', { n: 2 })
    const room = await watch()
    await until(() => metas(room, 'ann').length === 2, 'both metas')
    await first.channel.leave()
    await until(() => metas(room, 'ann').length === 1, 'one meta')
    assert.deepEqual(metas(room, 'ann'), [2])
    const [what, key, current, left] = room.said.at(-1)
    assert.deepEqual([what, key, current.metas.length, left.metas[0].n], ['leave', 'ann', 1, 1])
    await same(room, here, ['ann'])
  },

  '90 odd keys in a state': async ({ act, watch, here }) => {
    const keys = ODD_KEYS
    for (const key of keys) await act(key, { n: 1 })
    const room = await watch()
    await same(room, here, keys)
    assert.deepEqual(names(room.said).sort(), keys.map(key => `join ${key}`).sort())
    assert.equal({}.metas, undefined)
  },

  '91 odd keys in a diff': async ({ act, watch, here }) => {
    const keys = ODD_KEYS
    const room = await watch()
    const rooms = []
    for (const key of keys) rooms.push(await act(key, { n: 1 }))
    await same(room, here, keys)
    for (const actor of rooms) await actor.channel.leave()
    await same(room, here, [])
    assert.deepEqual(names(room.said).sort(), keys.flatMap(key => [`join ${key}`, `leave ${key}`]).sort())
    assert.equal({}.metas, undefined)
  },

  '92 list': async ({ act, watch, here }) => {
    const room = await watch()
    await act('ann', { n: 1 })
    await same(room, here, ['ann'])
    assert.deepEqual(room.presence.list(), [room.presence.state.ann])
  },

  '93 list by a function': async ({ act, watch, here }) => {
    const room = await watch()
    await act('ann', { n: 1 })
    await act('bob', { n: 2 })
    await same(room, here, ['ann', 'bob'])
    assert.deepEqual(room.presence.list((key, { metas: [meta] }) => `${key} ${meta.n}`).sort(), ['ann 1', 'bob 2'])
  },

  '94 an instance: a state, then diffs': async ({ act, watch, here }) => {
    const ann = await act('ann', { n: 1 })
    const room = await watch({ user: 'me' })
    await act('bob', { n: 2 })
    await same(room, here, ['ann', 'bob', 'me'])
    await ann.channel.leave()
    await same(room, here, ['bob', 'me'])
    assert.deepEqual(names(room.said).filter(name => /bob|ann/.test(name)), ['join ann', 'join bob', 'leave ann'])
    const events = room.channel.socket.raw.filter(({ topic }) => topic === room.channel.topic).map(({ event }) => event)
    assert.deepEqual(events.slice(0, 2), ['phx_reply', 'presence_state'])
    assert.ok(room.syncs >= 3)
  },

  '95 no diff before the state that it follows, again after a reconnect': async ({ act, watch, here, topic }) => {
    const actor = await act('ann', { n: 0 })
    let going = true
    const churn = (async () => { for (let n = 1; going && n < 300; n++) await push(actor, 'update', { user: 'ann', meta: { n } }) })()
    const room = await watch()
    for (let i = 0; i < 3; i++) await away(room, async () => {})
    going = false
    await churn
    await same(room, here, ['ann'])
    let joined = 0
    let stated = 0
    for (const { event } of room.channel.socket.raw.filter(message => message.topic === topic)) {
      if (event === 'phx_reply') joined++
      if (event === 'presence_state') stated++
      if (event === 'presence_diff') assert.equal(stated, joined)
    }
    assert.deepEqual([joined, stated], [4, 4])
  },

  '96 event names of its own': async ({ act, watch, here }) => {
    await act('ann', { n: 1 })
    const room = await watch()
    await until(() => room.presence.state.ann, 'the state')
    await push(room, 'track', { user: 'me', meta: { n: 2 } })
    await same(room, here, ['ann', 'me'])
    assert.deepEqual(room.channel.socket.raw.filter(({ event }) => event.startsWith('presence')), [])
  },

  '97 an update replaces a meta': async ({ act, watch, here }) => {
    const actor = await act('ann', { n: 1 })
    const room = await watch()
    const [old] = room.presence.state.ann.metas
    room.said.length = 0
    const { ref } = await push(actor, 'update', { user: 'ann', meta: { n: 2 } })
    await until(() => metas(room, 'ann')[0] === 2, 'the new meta')
    const [[, joined, current, added], [, left, after, gone], ...others] = room.said
    assert.deepEqual([joined, left, others], ['ann', 'ann', []])
    assert.deepEqual([current.metas, added.metas], [[old], [{ n: 2, phx_ref: ref, phx_ref_prev: old.phx_ref }]])
    assert.deepEqual([after.metas, gone.metas], [added.metas, [old]])
    await same(room, here, ['ann'])
  }
}

test('scenarios of the official client', async t => {
  const [python, node] = await startServers(t, ['uvicorn', 'ws'])
  for (const [here, there] of [[python, node], [node, python]]) {
    for (const vsn of ['2.0.0', '1.0.0']) {
      for (const [name, run] of Object.entries(scenarios)) {
        const kind = name.startsWith('96') ? 'own' : 'room'
        const topic = `${kind}:${name.slice(0, 2)}-${here.adapter}-${vsn}`
        await t.test(`${name} (${here.adapter}, ${vsn})`, t => run(stage(t, here, there, vsn, topic)))
      }
    }
  }
})
