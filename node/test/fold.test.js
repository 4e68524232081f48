// Laws of the fold behind the callbacks: random states, and the difference that leads from one to another.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { Fold, diffText } = require('../lib/fold.js')

function random (seed) {
  return n => (seed = (seed * 1103515245 + 12345) % 2147483648) % n
}

const refOf = (member, dot) => {
  const bytes = Buffer.alloc(16)
  bytes.writeBigUInt64BE(BigInt(member + 1) << 40n)
  bytes.writeBigUInt64BE(BigInt(dot), 8)
  return bytes.toString('base64url')
}

/** A world of entries { member, id, dot, key } that changes; its state has the rows of a snapshot. */
class World {
  entries = []
  dots = [0, 0, 0]

  change (dice) {
    const member = dice(3)
    const own = this.entries.filter(entry => entry.member === member)
    const roll = dice(10)
    if (roll < 5 || own.length === 0) {
      const id = ++this.dots[member]
      this.entries.push({ member, id, dot: id, key: ['a', 'b', '__proto__', 'constructor'][dice(4)], previous: 0 })
    } else if (roll < 8) {
      const entry = own[dice(own.length)]
      Object.assign(entry, { previous: entry.dot, dot: ++this.dots[member] })
    } else {
      this.entries.splice(this.entries.indexOf(own[dice(own.length)]), 1)
    }
  }

  rows () {
    return [...this.entries].sort((x, y) => x.member - y.member || x.id - y.id).map(({ member, dot, key, previous }) => ({
      kind: '', key, ref: refOf(member, dot), prevRef: previous ? refOf(member, previous) : '', member: `m${member}`, reason: null, first: false, last: false, meta: `{"dot":${dot}}`, prevMeta: ''
    }))
  }
}

const shown = fold => Object.entries(fold.presences()).sort(([a], [b]) => a < b ? -1 : 1)
const refs = shown_ => shown_.map(([key, { metas }]) => [key, metas.map(meta => meta.phx_ref)])

function stateOf (rows) {
  const fold = new Fold()
  fold.reset(rows)
  return fold
}

test('the difference leads from any state to any later one, and says nothing twice', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const dice = random(seed)
    const world = new World()
    for (let i = dice(20); i > 0; i--) world.change(dice)
    const before = world.rows()
    for (let i = dice(12); i > 0; i--) world.change(dice)
    const after = world.rows()
    const fold = stateOf(before)
    const rows = fold.difference(after)
    const [had, has] = [new Set(before.map(row => row.ref)), new Set(after.map(row => row.ref))]
    for (const row of rows) {
      if (row.kind === 'leave') assert.ok(had.has(row.ref) && !has.has(row.ref), `seed ${seed}`)
      else assert.ok(has.has(row.ref) && !had.has(row.ref), `seed ${seed}`)
      if (row.kind === 'update') assert.ok(had.has(row.prevRef) && !has.has(row.prevRef), `seed ${seed}`)
    }
    assert.deepEqual(rows.map(row => row.kind), [...rows.map(row => row.kind)].sort((a, b) => 'jul'.indexOf(a[0]) - 'jul'.indexOf(b[0])), 'joins, updates, leaves')
    fold.apply(rows)
    assert.deepEqual(refs(shown(fold)).map(([key, list]) => [key, [...list].sort()]), refs(shown(stateOf(after))).map(([key, list]) => [key, [...list].sort()]), `seed ${seed}`)
    assert.deepEqual(fold.difference(after), [], `seed ${seed}`)
    checkEdges(before, after, rows, seed)
    checkShape(rows, seed)
  }
})

function checkEdges (before, after, rows, seed) {
  const online = rows_ => new Set(rows_.map(row => row.key))
  const [was, is] = [online(before), online(after)]
  const came = rows.filter(row => row.first).map(row => row.key).sort()
  const went = rows.filter(row => row.last).map(row => row.key).sort()
  assert.deepEqual(came, [...is].filter(key => !was.has(key)).sort(), `seed ${seed}`)
  assert.deepEqual(went, [...was].filter(key => !is.has(key)).sort(), `seed ${seed}`)
}

function checkShape (rows, seed) {
  const { joins, leaves } = JSON.parse(diffText(rows))
  const count = side => Object.values(side).reduce((sum, { metas }) => sum + metas.length, 0)
  assert.equal(count(joins), rows.filter(row => row.kind !== 'leave').length, `seed ${seed}`)
  assert.equal(count(leaves), rows.filter(row => row.kind !== 'join').length, `seed ${seed}`)
}

test('metas of one key are ordered by member, then by coming; an update keeps its place', () => {
  const fold = new Fold()
  const row = (kind, member, dot, previous) => ({ kind, key: 'u', ref: refOf(member, dot), prevRef: previous ? refOf(member, previous) : '', meta: '{}', prevMeta: '' })
  fold.apply([row('join', 1, 1)])
  fold.apply([row('join', 0, 1), row('join', 1, 2), row('join', 2, 1)])
  fold.apply([row('update', 1, 3, 1)])
  assert.deepEqual(fold.presences().u.metas.map(meta => meta.phx_ref), [refOf(0, 1), refOf(1, 3), refOf(1, 2), refOf(2, 1)])
  fold.apply([row('leave', 1, 3)])
  assert.deepEqual(fold.presences().u.metas.map(meta => meta.phx_ref), [refOf(0, 1), refOf(1, 2), refOf(2, 1)])
})
