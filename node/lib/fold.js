// What the class callbacks were last given of one topic: diffs fold into it, a fresh state is compared with it.
'use strict'

const { setOwn } = require('./values.js')

/** Metas of one key are ordered by member; a ref begins with the member's id. */
function memberOf (ref) {
  return Buffer.from(ref, 'base64url').toString('hex', 0, 8)
}

function metaOf (row) {
  const meta = JSON.parse(row.meta || '{}')
  meta.phx_ref = row.ref
  if (row.prevRef) meta.phx_ref_prev = row.prevRef
  return meta
}

const textOf = row => row.kind === 'leave' ? { ...row, prevRef: '' } : row

class Fold {
  #keys = new Map() // key -> { rows, extra, view }

  #entry (key) {
    let entry = this.#keys.get(key)
    if (entry === undefined) this.#keys.set(key, (entry = { rows: [], extra: undefined, view: undefined }))
    entry.view = undefined
    return entry
  }

  #join (row) {
    const { rows } = this.#entry(row.key)
    let at = rows.length
    if (at > 0) {
      const member = memberOf(row.ref)
      while (at > 0 && memberOf(rows[at - 1].ref) > member) at--
    }
    rows.splice(at, 0, row)
  }

  #update (row) {
    const { rows } = this.#entry(row.key)
    const at = rows.findIndex(held => held.ref === row.prevRef)
    if (at < 0) this.#join(row)
    else rows[at] = row
  }

  #leave (row) {
    const entry = this.#entry(row.key)
    const at = entry.rows.findIndex(held => held.ref === row.ref)
    if (at >= 0) entry.rows.splice(at, 1)
    if (entry.rows.length === 0) this.#keys.delete(row.key)
  }

  /** rows of one diff, and its joins with what fetch added */
  apply (rows, joins) {
    for (const row of rows) {
      if (row.kind === 'join') this.#join(row)
      else if (row.kind === 'update') this.#update(row)
      else this.#leave(row)
    }
    if (!joins) return
    for (const key of Object.keys(joins)) {
      const entry = this.#keys.get(key)
      if (entry) entry.extra = joins[key]
    }
  }

  /** Takes a state as it is. */
  reset (rows) {
    this.#keys.clear()
    for (const row of rows) this.#entry(row.key).rows.push(row)
  }

  get empty () { return this.#keys.size === 0 }

  /** The topic as it is now, in the shape of list. */
  presences () {
    const out = {}
    for (const [key, entry] of this.#keys) {
      entry.view ??= { ...entry.extra, metas: entry.rows.map(metaOf) }
      setOwn(out, key, entry.view)
    }
    return out
  }

  /** The rows of the diff that leads from here to `state` (rows of a snapshot). */
  difference (state) {
    const held = new Map()
    for (const { rows } of this.#keys.values()) for (const row of rows) held.set(row.ref, row)
    const before = new Set(this.#keys.keys())
    const after = new Set(state.map(row => row.key))
    const joins = []
    const updates = []
    for (const row of state) {
      const same = held.get(row.ref)
      const previous = same ?? held.get(row.prevRef)
      if (previous) held.delete(previous.ref)
      if (same) continue
      if (previous) updates.push({ ...row, kind: 'update', reason: null, prevMeta: previous.meta, first: false, last: false })
      else joins.push({ ...row, kind: 'join', reason: null, first: !before.has(row.key), last: false })
      if (!previous) before.add(row.key)
    }
    const leaves = []
    for (const row of [...held.values()].reverse()) {
      const last = !after.has(row.key)
      leaves.unshift({ ...row, kind: 'leave', reason: 'unknown', prevRef: '', prevMeta: '', first: false, last })
      after.add(row.key)
    }
    return [...joins, ...updates, ...leaves]
  }
}

function addMeta (side, key, meta) {
  if (Object.hasOwn(side, key)) side[key].metas.push(meta)
  else setOwn(side, key, { metas: [meta] })
}

/** Rows of a diff in the shape of Phoenix, as JSON text. */
function diffText (rows) {
  const joins = {}
  const leaves = {}
  for (const row of rows) {
    if (row.kind !== 'leave') addMeta(joins, row.key, metaOf(row))
    if (row.kind === 'leave') addMeta(leaves, row.key, metaOf(textOf(row)))
    if (row.kind === 'update') addMeta(leaves, row.key, metaOf({ meta: row.prevMeta, ref: row.prevRef }))
  }
  return JSON.stringify({ joins, leaves })
}

module.exports = { Fold, diffText }
