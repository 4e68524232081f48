// The same frames to a server in each language: each answers with exactly these messages, whatever a client may say.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { WebSocket, atEnd, startServers, until } = require('./world.js')

const frame = (...message) => JSON.stringify(message)
const join = (payload = {}, topic = 'room:1', ref = '1') => frame(ref, ref, topic, 'phx_join', payload)
const say = (event, text = '{}', ref = '2') => `["1","${ref}","room:1","${event}",${text}]` // as JSON.stringify would not
const topics = Array.from({ length: 101 }, (_, i) => `room:${i}`)
const deep = depth => '['.repeat(depth) + ']'.repeat(depth)
const nine = count => '9'.repeat(count)
const v1 = (event, rest = '"payload":{},"ref":"1"') => `{"topic":"room:1","event":"${event}",${rest}}`

function bytes (kind, fields, payload, ...numbers) {
  const texts = fields.map(text => Buffer.from(text))
  return Buffer.concat([Buffer.from([kind, ...texts.map(text => text.length), ...numbers]), ...texts, Buffer.from(payload)])
}

const JOINED = '1 1 ok'
const CRASHED = '1 1 phx_error {"reason":"channel_crash"}'
const NO_JSON = 'end 1007 not JSON'
const TOO_DEEP = 'end 1007 nested too deeply'
const NO_REF = 'end 1007 join_ref and ref must be text or null'
const NO_TEXT = 'end 1007 topic and event must be text'
const NO_FIVE = 'end 1007 a message is an array of five: join_ref, ref, topic, event, payload'

/** What a handler gets, and so what it can say again. */
const payloads = {
  '{"a":2,"a":1}': '{"a":1}',
  '{"a":1e-400,"b":-0,"c":1E5,"d":12345678901234567890}': '{"a":0,"b":0,"c":100000,"d":12345678901234567000}',
  [`{"a":${nine(300)}}`]: '{"a":1e+300}',
  '{"a":"\\ud800","b":"\\udc00\\u0000"}': '{"a":"\\ud800","b":"\\udc00\\u0000"}',
  '{"__proto__":{"a":1},"constructor":5}': '{"__proto__":{"a":1},"constructor":5}',
  '[1]': '[1]',
  null: 'null',
  [deep(511)]: deep(511)
}
const refused = {
  '{"a":1e400}': NO_JSON,
  '{"a":[-1e400]}': NO_JSON,
  [`{"a":${nine(400)}}`]: NO_JSON,
  [`{"a":${nine(5000)}}`]: NO_JSON,
  [`{"a":${nine(250)}e99}`]: NO_JSON,
  '{"a":NaN}': NO_JSON,
  '{"a":Infinity}': NO_JSON,
  '{"a":-Infinity}': NO_JSON,
  '{"a":"\u0001"}': NO_JSON,
  '01': NO_JSON,
  '+1': NO_JSON,
  '1.': NO_JSON,
  '{},': NO_JSON,
  [deep(513)]: TOO_DEEP,
  [deep(980)]: TOO_DEEP,
  [deep(10000)]: TOO_DEEP
}
const refs = {
  1: '1', '1.0': '1', '1e2': '100', '-1': '-1', '-0.0': '0', '""': '', '"\\ud800"': '\ud800', '"__proto__"': '__proto__', null: 'null',
  1.5: NO_REF, true: NO_REF, '[]': NO_REF, '{}': NO_REF, '1e21': NO_REF, 12345678901234567890n: NO_REF, '1e400': NO_JSON
}

const each = (frames, answer) => frames.map(text => [text, answer])

/** Cases: steps of a frame or several, and the answers to it, which come before the next step is taken. */
const version2 = {
  'a heartbeat': [[frame('9', '1', 'phoenix', 'heartbeat', {}), 'null 1 ok']],
  'a join of phoenix': [[join({}, 'phoenix'), 'null 1 error unmatched topic']],
  'two joins': [[join(), JOINED], [join({}, 'room:1', '2'), '1 1 phx_close {}', '2 2 ok']],
  'two joins of one ref': [[join(), JOINED], [join(), '1 1 phx_close {}', JOINED]],
  'a join, refused, over a channel': [[join(), JOINED], [join({ refuse: true }, 'room:1', '2'), '1 1 phx_close {}', '2 2 error not you'],
    [frame('2', '3', 'room:1', 'x', {}), 'null 3 error unmatched topic']],
  'an event after a refused join': [[join({ refuse: true }), '1 1 error not you'], [say('x'), 'null 2 error unmatched topic']],
  'a leave after a refused join': [[join({ fail: true }), '1 1 error join crashed'], [say('phx_leave'), '1 2 ok']],
  'more, while a join is refused': [[[join({ refuse: true }), say('x'), say('phx_leave', '{}', '3')], '1 1 error not you', 'null 2 error unmatched topic', '1 3 ok']],
  'more, behind a crash': [[join(), JOINED], [[say('crash'), say('x'), say('phx_leave', '{}', '3')], CRASHED, 'null 2 error unmatched topic', '1 3 ok']],
  'two leaves': [[join(), JOINED], [say('phx_leave'), '1 2 ok', '1 1 phx_close {}'], [say('phx_leave', '{}', '3'), '1 3 ok']],
  'a leave, an event of an earlier join': [[join(), JOINED], [frame('0', '2', 'room:1', 'phx_leave', {})], [frame('0', '3', 'room:1', 'x', {})],
    [say('x', '{}', '4'), '1 4 error unmatched event']],
  'a leave without a join': [[frame('1', '2', 'nowhere', 'phx_leave', {}), '1 2 ok']],
  'a crash, an event, a join': [[join(), JOINED], [say('crash'), CRASHED], [say('x'), 'null 2 error unmatched topic'], [join({}, 'room:1', '3'), '3 3 ok']],
  'joins with what is no object': each(['null', '5', '"x"', 'true'].map(text => `["1","1","room:1","phx_join",${text}]`), '1 1 error join crashed'),
  'events of ours': [[join(), JOINED], ...each(['phx_reply', 'phx_close', 'presence_state', '__proto__', '', '\\ud800'].map(event => say(event)), '1 2 error unmatched event')],
  'odd topics': each(['', '__proto__', 'constructor', '\ud800'].map(topic => join({}, topic)), 'null 1 error unmatched topic'),
  'topics that cannot have presences': each(['room:\0', 'room:\ud800', `room:${'x'.repeat(251)}`].map(topic => join({}, topic)), '1 1 error invalid topic'),
  'the longest topic': [[join({}, `room:${'x'.repeat(250)}`), JOINED]],
  'too many joins': [...each(topics.slice(0, 100).map(topic => join({}, topic)), JOINED), [join({}, topics[100]), '1 1 error too many channels joined']],
  'refused joins are none': [...each(topics.map(topic => join({ refuse: true }, topic)), '1 1 error not you'), [join(), JOINED]],
  ...Object.fromEntries(['x'.repeat(256), '', 'a\\u0000', '\\ud800'].map((key, i) => [`a key that is none, ${i}`, [[join(), JOINED], [say('track', `{"user":"${key}"}`), CRASHED]]])),
  'no object of five': [['5', NO_FIVE]],
  'an event without a name': [['["1","1","room:1",null,{}]', NO_TEXT]],
  'no text at all': [['', NO_JSON]],
  'a byte order mark': [[`\ufeff${join()}`, NO_JSON]],
  'space around': [[` \n\t${join()} \r\n`, JOINED]],
  'bytes: nothing': [[Buffer.alloc(0), 'end 1007 a binary frame of an unknown kind']],
  'bytes: a kind of ours': [[Buffer.from([2, 0, 0, 0]), 'end 1007 a binary frame of an unknown kind']],
  'bytes: too short': [[Buffer.from([0, 9, 9]), 'end 1007 a binary frame ends too early']],
  'bytes: no UTF-8': [[bytes(0, ['1', [0xed, 0xa0, 0x80], 'room:1', 'x'], ''), 'end 1007 not UTF-8']],
  'bytes: a heartbeat': [[bytes(0, ['', '2', 'phoenix', 'heartbeat'], ''), 'null 2 ok']],
  'bytes: said again': [[join(), JOINED], [bytes(0, ['1', '2', 'room:1', 'shout'], 'x'), CRASHED]],
  'bytes: a broadcast that is no JSON': [[bytes(3, ['1', '2', 'room:1', 'x', ''], 'x', 1), NO_JSON]],
  'bytes: metadata that is no JSON': [[bytes(3, ['1', '2', 'room:1', 'x', '{'], 'x', 0), NO_JSON]],
  'supabase: a join with nothing': [[join(null, 'realtime:1'), JOINED]],
  'supabase: odd events': [[join({}, 'realtime:1'), JOINED], [frame('1', '2', 'realtime:1', 'x', 5), '1 2 error unknown event'],
    [frame('1', '3', 'realtime:1', 'presence', null), '1 3 error unknown presence event']],
  'supabase: a broadcast of a list': [[join({ config: { broadcast: { self: true } } }, 'realtime:1'), JOINED],
    [frame('1', '2', 'realtime:1', 'broadcast', [1]), 'null null broadcast {}']]
}
for (const [text, again] of Object.entries(payloads)) version2[`payload ${text.slice(0, 40)}`] = [[join(), JOINED], [say('shout', text), `null null shout ${again}`]]
for (const [text, end] of Object.entries(refused)) version2[`payload ${text.length} ${text.slice(0, 40)}`] = [[say('x', text), end]]
for (const [text, ref] of Object.entries(refs)) version2[`ref ${text}`] = [[`[${text},${text},"room:1","phx_join",{}]`, ref.startsWith('end') ? ref : `${ref} ${ref} ok`]]

const version1 = { // it has no join_ref in what comes back
  'a join': [[v1('phx_join'), '1 ok']],
  'a join that counts': [[v1('phx_join', '"payload":{},"ref":1'), '1 ok']],
  'a join without a payload': [[v1('phx_join', '"ref":"1"'), '1 ok']],
  'two joins, a leave': [[v1('phx_join'), '1 ok'], [v1('phx_join', '"payload":{},"ref":"2"'), '1 phx_close {}', '2 ok'],
    [v1('phx_leave', '"payload":{},"ref":"3"'), '3 ok', '2 phx_close {}']],
  'a crash': [[v1('phx_join'), '1 ok'], [v1('crash', '"payload":{},"ref":"2"'), '1 phx_error {"reason":"channel_crash"}']],
  'no topic': [['{"event":"phx_join","payload":{},"ref":"1"}', NO_TEXT]],
  'fields of a prototype': [[`{"__proto__":${v1('phx_join')},"ref":"1"}`, NO_TEXT]],
  'an array': [[join(), 'end 1007 a message is an object with topic, event, payload and ref']],
  bytes: [[Buffer.from([0, 0, 0, 0, 0]), 'end 1007 version 1 has no binary frames']]
}

/** One message in words; of presence nothing. */
function words (text) {
  const message = JSON.parse(text)
  const { topic, event, payload, ref } = Array.isArray(message) ? { topic: message[2], event: message[3], payload: message[4], ref: `${message[0]} ${message[1]}` } : message
  if (topic !== 'phoenix' && event.startsWith('presence_')) return []
  if (event !== 'phx_reply') return [`${ref} ${event} ${JSON.stringify(payload)}`]
  return [[ref, payload.status, payload.response.reason].filter(part => part !== undefined).join(' ')]
}

const LAST = { '2.0.0': [frame(null, 'last', 'phoenix', 'heartbeat', {}), 'null last ok'], '1.0.0': [v1('heartbeat', '"ref":"last"').replace('room:1', 'phoenix'), 'last ok'] }

/** Takes the steps; fails when other answers come, more or fewer. */
async function talk (t, server, vsn, steps) {
  const socket = new WebSocket(`${server.url}/websocket?vsn=${vsn}`)
  const heard = []
  socket.on('message', data => heard.push(...words(data)))
  socket.on('close', (code, reason) => heard.push(`end ${code} ${reason}`))
  atEnd(t, () => socket.terminate())
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
  for (const [texts, ...answers] of steps.at(-1)[1].startsWith('end') ? steps : [...steps, LAST[vsn]]) {
    for (const text of [texts].flat()) socket.send(text, { binary: typeof text !== 'string' })
    await until(() => heard.length >= answers.length || heard.at(-1)?.startsWith('end'), `${answers}; heard ${heard}`)
    assert.deepEqual(heard.splice(0), answers)
  }
}

for (const adapter of ['uvicorn', 'aiohttp', 'ws']) {
  test(`whatever a client says (${adapter})`, async t => {
    const [server] = await startServers(t, [adapter])
    for (const [vsn, cases] of [['2.0.0', version2], ['1.0.0', version1]]) {
      for (const [name, steps] of Object.entries(cases)) await t.test(`${name} (${vsn})`, t => talk(t, server, vsn, steps))
    }
  })
}
