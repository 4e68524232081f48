// metrics(): every counter of stats() under its documented name, members that run, none that has stopped.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { Presence, metrics, InvalidArgument } = require('..')
const { startAlone } = require('../testing.js')

const valueOf = (text, name, member) => {
  const lines = text.split('\n').filter(line => line.startsWith(`${name}{`) && line.includes(`member="${member}"`))
  assert.equal(lines.length, 1, `${name} of ${member}`)
  return Number(lines[0].split('} ')[1])
}

test('every counter of stats, under its name and kind', async t => {
  const users = await startAlone({ name: 'metric' })
  t.after(() => users.stop())
  users.track(users.owner(), 'room', 'u1')
  const text = metrics(users)
  for (const [name, value] of Object.entries(users.stats())) {
    const plain = `libpresence_${name.replace(/[A-Z]/g, c => '_' + c.toLowerCase())}`
    const kind = new RegExp(`^# TYPE (${plain}(?:_total)?) (gauge|counter)$`, 'm').exec(text)
    assert.ok(kind, name)
    assert.equal(kind[1].endsWith('_total'), kind[2] === 'counter')
    if (['entries', 'topics', 'joins', 'members'].includes(name)) assert.equal(valueOf(text, kind[1], 'metric'), value)
  }
  assert.equal(valueOf(text, 'libpresence_entries', 'metric'), 1)
})

test('all that are open, none that has stopped', async t => {
  const [first, second] = [await startAlone({ name: 'm-first' }), await startAlone({ name: 'm-second' })]
  t.after(() => Promise.all([first.stop(), second.stop()]))
  assert.match(metrics(), /member="m-first"/)
  assert.match(metrics(), /member="m-second"/)
  await first.stop()
  assert.doesNotMatch(metrics(), /member="m-first"/)
  assert.equal(metrics(first), '')
  assert.match(metrics(first, second), /member="m-second"/)
})

test('what is no Presence is refused', () => {
  assert.throws(() => metrics('x'), InvalidArgument)
  assert.equal(metrics(new Presence({ transport: 'memory' })), '')
})
