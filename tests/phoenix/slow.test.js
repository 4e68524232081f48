// A client that does not read for a while: what waits for it is bounded, it gets one fresh state and is right again; the
// others see every change meanwhile.
'use strict'

const { describe, it } = require('node:test')
const assert = require('node:assert/strict')
const { Balancer } = require('./balancer.js')
const { connect, enter, limitsOf, same, startServers, until } = require('./world.js')

const TOPIC = 'room:1'
const ENTRIES = { count: 60, size: 3000 } // some hundred kilobytes, each time
const states = room => room.channel.socket.raw.filter(({ event }) => event === 'presence_state').length

describe('a client that does not read', { concurrency: 2 }, () => {
  for (const adapter of ['uvicorn', 'ws']) {
    it(adapter, async t => {
      const [server] = await startServers(t, [adapter], { presence: { queue_bytes: 1048576 }, limits: limitsOf(adapter, { send_bytes: 262144 }) })
      const balancer = await Balancer.start(t, [server])
      const quick = await enter(await connect(t, server), TOPIC, { user: 'quick' })
      const slow = await enter(await connect(t, balancer), TOPIC, { user: 'slow' })
      for (const room of [quick, slow]) await same(room, server, ['quick', 'slow'])
      balancer.freeze({ toServers: false })
      for (let round = 0; await server.ask('resyncs') === 0; round++) { // until what the system holds for it is full, and its queue
        await server.ask('renew', { topic: TOPIC, prefix: `${round}-`, ...ENTRIES })
        await until(() => quick.presence.state[`${round}-0`] && !quick.presence.state[`${round - 1}-0`], 'the quick one to see it')
      }
      assert.equal(states(slow), 1)
      balancer.thaw()
      await same(slow, server)
      await same(quick, server)
      assert.ok(states(slow) > 1)
      assert.deepEqual([slow.errors, slow.closed, quick.errors, quick.closed], [0, 0, 0, 0])
    })
  }
})
