// Phoenix Channels over real sockets of ws: what ends a socket, who is left alone by it, joins, replacements, crashes.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const http = require('node:http')
const net = require('node:net')
const WebSocket = require('ws')
const { Presence } = require('..')
const { startAlone, waitFor } = require('../testing.js')
const { Endpoint, Refuse, supabaseChannel } = require('../phoenix.js')

const ANSWER = { timeout: 20000 }

function room (left) {
  return {
    async join (topic, params, socket) {
      if (params.user) socket.track(params.user, { n: 1 })
      if (params.refuse) throw new Refuse('not you')
      if (params.fail) throw new Error('a bug')
      if (params.hang) await new Promise(() => {})
    },
    event (name, payload, socket) {
      if (name === 'fail') throw new Error('a bug')
      if (name === 'no') throw new Refuse({ reason: 'no', code: 7 })
      if (name === 'shout') socket.broadcast('shout', payload)
      if (name === 'whisper') socket.broadcastFrom('shout', payload)
      if (name === 'set') socket.update(payload.user, { n: payload.n })
      return payload.reply ? { heard: name } : undefined
    },
    leave (reason) { left.push(reason) }
  }
}

async function serve (t, options = {}) {
  const users = await startAlone()
  const left = []
  const lines = []
  const endpoint = new Endpoint(users, { log: line => lines.push(line), ...options })
  endpoint.channel('room:*', room(left)).channel('realtime:*', supabaseChannel())
  const server = http.createServer()
  endpoint.attach(server)
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    await endpoint.close()
    server.close()
    await users.stop()
  })
  const url = `ws://127.0.0.1:${server.address().port}/socket/websocket?vsn=`
  return { users, endpoint, left, lines, url, server }
}

/** A bare client: say sends an array or an object, next takes the next message, ended waits for the close code. */
async function open (url, protocols) {
  const socket = new WebSocket(url, protocols)
  const got = []
  let code
  socket.on('message', data => got.push(JSON.parse(data)))
  socket.on('close', number => { code = number })
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
  return {
    socket,
    got,
    say: (...message) => socket.send(JSON.stringify(message.length === 1 ? message[0] : message)),
    next: async () => {
      await waitFor(() => got.length > 0, ANSWER)
      return got.shift()
    },
    ended: async () => {
      await waitFor(() => code !== undefined, ANSWER)
      return code
    }
  }
}

async function join (client, topic, params, ref = '1') {
  client.say(ref, ref, topic, 'phx_join', params)
  return client.next()
}

const reply = (joinRef, ref, topic, status, response) => [joinRef, ref, topic, 'phx_reply', { status, response }]
const keys = Object.keys

test('join, state, diffs, update, leave', async t => {
  const { url, left } = await serve(t)
  const a = await open(`${url}2.0.0`)
  const b = await open(`${url}2.0.0`)
  assert.deepEqual(await join(a, 'room:1', { user: 'ann' }), reply('1', '1', 'room:1', 'ok', {}))
  const [joinRef, ref, topic, event, state] = await a.next()
  assert.deepEqual([joinRef, ref, topic, event, keys(state)], ['1', null, 'room:1', 'presence_state', ['ann']])
  assert.deepEqual(await join(b, 'room:1', { user: 'bob' }, '5'), reply('5', '5', 'room:1', 'ok', {}))
  assert.deepEqual(keys((await b.next())[4]).sort(), ['ann', 'bob'])
  const joined = await a.next()
  assert.deepEqual([...joined.slice(0, 4), keys(joined[4].joins), joined[4].leaves], [null, null, 'room:1', 'presence_diff', ['bob'], {}])
  const old = joined[4].joins.bob.metas[0]
  b.say('5', '6', 'room:1', 'set', { user: 'bob', n: 2 })
  const [,,,, updated] = await a.next()
  assert.deepEqual(updated.leaves.bob.metas, [old])
  assert.deepEqual([updated.joins.bob.metas[0].n, updated.joins.bob.metas[0].phx_ref_prev], [2, old.phx_ref])
  b.say('5', '7', 'room:1', 'phx_leave', {})
  assert.equal((await a.next())[4].leaves.bob.metas[0].phx_ref, updated.joins.bob.metas[0].phx_ref)
  await waitFor(() => b.got.some(message => message[3] === 'phx_close'), ANSWER)
  assert.deepEqual(b.got.slice(-2), [reply('5', '7', 'room:1', 'ok', {}), ['5', '5', 'room:1', 'phx_close', {}]])
  assert.deepEqual(left, ['left'])
})

test('version 1 speaks in objects', async t => {
  const { url } = await serve(t)
  for (const vsn of ['1.0.0', '1']) {
    const client = await open(url + vsn)
    client.say({ topic: 'room:1', event: 'phx_join', payload: { user: 'ann' }, ref: '1' })
    assert.deepEqual(await client.next(), { topic: 'room:1', event: 'phx_reply', payload: { status: 'ok', response: {} }, ref: '1' })
    const state = await client.next()
    assert.deepEqual([state.event, state.ref, keys(state.payload)], ['presence_state', null, ['ann']])
    client.say({ topic: 'phoenix', event: 'heartbeat', payload: {}, ref: 2 })
    assert.deepEqual(await client.next(), { topic: 'phoenix', event: 'phx_reply', payload: { status: 'ok', response: {} }, ref: '2' })
    client.socket.terminate()
    const other = await open(`${url}2.0.0`) // sees the end of the first
    await waitFor(async () => {
      other.got.length = 0
      await join(other, 'room:1', {}, '9')
      return keys((await other.next())[4] ?? {}).length === 0
    }, ANSWER)
  }
})

test('refusals, errors, too many joins', async t => {
  const { url, users, left } = await serve(t, { limits: { joins: 2 } })
  const client = await open(`${url}2.0.0`)
  assert.deepEqual(await join(client, 'nowhere', {}), reply(null, '1', 'nowhere', 'error', { reason: 'unmatched topic' }))
  assert.deepEqual(await join(client, 'room:1', { user: 'x', refuse: 1 }), reply('1', '1', 'room:1', 'error', { reason: 'not you' }))
  assert.deepEqual(await join(client, 'room:1', { user: 'x', fail: 1 }), reply('1', '1', 'room:1', 'error', { reason: 'join crashed' }))
  assert.equal(users.count('room:1'), 0)
  client.say('1', '2', 'room:1', 'set', {})
  assert.deepEqual(await client.next(), reply(null, '2', 'room:1', 'error', { reason: 'unmatched topic' }))
  client.say('1', '1', 'room:1', 'phx_join', { refuse: 1 })
  client.say('1', '2', 'room:1', 'set', {}) // waits for the join
  assert.deepEqual([await client.next(), await client.next()], [
    reply('1', '1', 'room:1', 'error', { reason: 'not you' }), reply(null, '2', 'room:1', 'error', { reason: 'unmatched topic' })])
  await join(client, 'room:1', {})
  await client.next()
  client.say('1', '3', 'room:1', 'no', {})
  assert.deepEqual(await client.next(), reply('1', '3', 'room:1', 'error', { reason: 'no', code: 7 }))
  await join(client, 'room:2', {})
  await client.next()
  assert.deepEqual(await join(client, 'room:3', {}), reply('1', '1', 'room:3', 'error', { reason: 'too many channels joined' }))
  assert.deepEqual(left, [])
})

for (const [what, text, code] of [
  ['text that is no JSON', '{', 1007],
  ['an array of three', '[1,2,3]', 1007],
  ['an array of six', '["1","1","t","e",{},1]', 1007],
  ['an object of version 1', '{"topic":"t","event":"e"}', 1007],
  ['a topic that is no text', '["1","1",5,"e",{}]', 1007],
  ['deep brackets', '['.repeat(60000), 1007],
  ['a binary frame', Buffer.from([0, 1]), 1007],
  ['a frame that is too large', 'x'.repeat(70000), 1009]
]) {
  test(`${what} ends its socket alone`, async t => {
    const { url, left } = await serve(t)
    const good = await open(`${url}2.0.0`)
    const bad = await open(`${url}2.0.0`)
    await join(good, 'room:1', { user: 'ann' })
    await good.next()
    await join(bad, 'room:1', { user: 'bob' })
    assert.deepEqual(keys((await good.next())[4].joins), ['bob'])
    bad.socket.send(text)
    assert.equal(await bad.ended(), code)
    assert.deepEqual(keys((await good.next())[4].leaves), ['bob'])
    assert.deepEqual(left, ['closed'])
    assert.equal(good.socket.readyState, WebSocket.OPEN)
  })
}

test('what cannot be sent is an error of who sends it', async t => {
  const { url, endpoint, lines } = await serve(t)
  const odd = { bytes: Buffer.alloc(1), nothing () {}, answer () {} }
  endpoint.channel('odd', { event: (name, payload, socket) => name === 'answer' ? odd.answer : socket.push('odd', odd[name]) })
  const client = await open(`${url}2.0.0`)
  for (const name of Object.keys(odd)) {
    await join(client, 'odd', {})
    await client.next()
    client.say('1', '2', 'odd', name, {})
    assert.deepEqual(await client.next(), ['1', '1', 'odd', 'phx_error', { reason: 'channel_crash' }])
  }
  assert.deepEqual(lines, Array(3).fill('channel "odd": event failed'))
})

test('a reason is text or a whole response', () => {
  assert.deepEqual([5, null, undefined, 'no', { a: 1 }].map(reason => new Refuse(reason).response),
    [{ reason: '5' }, { reason: 'null' }, { reason: 'unauthorized' }, { reason: 'no' }, { a: 1 }])
})

test('floods and silence end a socket', async t => {
  const flooded = await serve(t, { limits: { eventsBurst: 5, eventsPerSecond: 1 } })
  const client = await open(`${flooded.url}2.0.0`)
  for (let i = 0; i < 9; i++) client.say(null, `${i}`, 'phoenix', 'heartbeat', {})
  assert.equal(await client.ended(), 1008)
  assert.ok(client.got.length <= 5)
  const silent = await serve(t, { limits: { idleMs: 50 } })
  assert.equal(await (await open(`${silent.url}2.0.0`)).ended(), 1001)
})

test('an unknown vsn and another path are refused', async t => {
  const { url } = await serve(t)
  for (const vsn of ['__proto__', '3.0.0', 'constructor', '']) await assert.rejects(open(url + vsn), /403/)
  await assert.rejects(open(url.replace('/socket/', '/other/')), /404/)
})

test('who is refused and resets the connection, or leaves it half open, harms nothing', async t => {
  const { server } = await serve(t)
  for (const path of ['/other', '/socket/websocket?vsn=3', '/socket/websocket']) {
    for (const reset of [true, false]) {
      const client = net.connect({ port: server.address().port, host: '127.0.0.1', allowHalfOpen: true })
      t.after(() => client.destroy())
      let heard = ''
      client.on('error', () => {}).on('data', data => { heard += data })
      client.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n${'x'.repeat(50000)}`)
      if (reset) {
        await waitFor(() => heard !== '' || client.destroyed, ANSWER)
        client.resetAndDestroy()
      }
      await waitFor(async () => await new Promise(resolve => server.getConnections((_, count) => resolve(count === 0))), ANSWER)
    }
  }
})

test('close waits for a leave that hangs only so long', async t => {
  const { url, endpoint } = await serve(t, { limits: { closeMs: 100 } })
  endpoint.channel('stuck', { leave: () => new Promise(() => {}) })
  const client = await open(`${url}2.0.0`)
  await join(client, 'stuck', {})
  await endpoint.close()
  assert.equal(await client.ended(), 1012)
})

test('odd keys, a second join, a crash', async t => {
  const { url, users, left } = await serve(t)
  const client = await open(`${url}2.0.0`)
  await join(client, 'room:1', { user: '__proto__' })
  assert.deepEqual(keys((await client.next())[4]), ['__proto__'])
  assert.deepEqual(await join(client, 'room:1', { user: 'x' }, '2'), ['1', '1', 'room:1', 'phx_close', {}])
  await client.next()
  assert.deepEqual(keys((await client.next())[4]), ['x'])
  client.say('1', '3', 'room:1', 'set', { user: 'x', n: 2, reply: true }) // of the first join: dropped
  client.say('2', '4', 'room:1', 'other', { reply: true })
  assert.deepEqual(await client.next(), reply('2', '4', 'room:1', 'ok', { heard: 'other' }))
  client.say('2', '5', 'room:1', 'fail', {})
  assert.deepEqual(await client.next(), ['2', '2', 'room:1', 'phx_error', { reason: 'channel_crash' }])
  assert.equal(users.count('room:1'), 0)
  assert.deepEqual(left, ['replaced', 'error'])
})

test('broadcasts reach the room', async t => {
  const { url } = await serve(t)
  const [a, b] = [await open(`${url}2.0.0`), await open(`${url}2.0.0`)]
  for (const client of [a, b]) {
    await join(client, 'room:1', {})
    await client.next()
  }
  a.socket.send('["1","2","room:1","shout",{"text":"\\ud800","__proto__":1}]')
  for (const client of [a, b]) {
    const [joinRef, ref, topic, event, payload] = await client.next()
    assert.deepEqual([joinRef, ref, topic, event, payload.text, keys(payload)], [null, null, 'room:1', 'shout', '\ud800', ['text', '__proto__']])
  }
  a.say('1', '3', 'room:1', 'whisper', { n: 1 })
  assert.deepEqual((await b.next())[4], { n: 1 })
  a.say(null, '4', 'phoenix', 'heartbeat', {})
  assert.equal((await a.next())[1], '4')
})

test('connect lets in by parameters, headers and the token of the subprotocols', async t => {
  const seen = []
  const { url } = await serve(t, {
    connect (params, headers) {
      seen.push([params.user, params.auth_token, headers['x-from']])
      if (params.user === 'bug') throw new Error('a bug')
      if (params.user !== 'ann') throw new Refuse('who?')
      return { user: params.user }
    }
  })
  const token = Buffer.from('sesam öffne dich').toString('base64url')
  const client = await open(`${url}2.0.0&user=ann`, ['phoenix', `base64url.bearer.phx.${token}`])
  assert.equal(client.socket.protocol, 'phoenix')
  await assert.rejects(open(`${url}2.0.0&user=bob`), /403/)
  await assert.rejects(open(`${url}2.0.0&user=bug`), /500/)
  assert.deepEqual(seen, [['ann', 'sesam öffne dich', undefined], ['bob', undefined, undefined], ['bug', undefined, undefined]])
})

test('a connect function that hangs is a refusal', async t => {
  const { url, lines } = await serve(t, { connect: () => new Promise(() => {}), limits: { connectMs: 20 } })
  await assert.rejects(open(`${url}2.0.0`), /403/)
  assert.deepEqual(lines, ["a client's socket was closed: connect took too long"])
})

test('clients wait for the first sync, but not for ever', async t => {
  const silent = net.createServer(() => {}) // a seed that takes connections and says nothing
  await new Promise(resolve => silent.listen(0, '127.0.0.1', resolve))
  t.after(() => silent.close())
  for (const [connectMs, connectTimeoutMs] of [[20000, 300], [20, 20000]]) {
    const users = await Presence.start({ join: [`127.0.0.1:${silent.address().port}`], listen: '', connectTimeoutMs })
    const endpoint = new Endpoint(users, { log () {}, limits: { connectMs } }).channel('room', {})
    const server = http.createServer()
    endpoint.attach(server)
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
    assert.equal(users.isSynced, false)
    const client = await open(`ws://127.0.0.1:${server.address().port}/socket/websocket?vsn=2.0.0`)
    assert.equal(users.isSynced, connectMs === 20000)
    client.socket.terminate()
    await endpoint.close()
    server.close()
    await users.stop()
  }
})
