// What callers get: changes, events, members, statistics, made from the rows of the addon.
'use strict'

const KINDS = ['', 'join', 'update', 'leave']
const REASONS = [null, 'untrack', 'owner_closed', 'lease', 'member_left', 'member_down', 'replaced', 'unknown']
const STATUSES = ['', 'up', 'suspect', 'down', 'permdown', 'left', 'conflict']
const ROW = 9 // values of one row: see pn_push_entry

/** One typed event of a diff. Names are those of the vocabulary; prevMeta and prevRef are the same in camel case. */
class Change {
  constructor (topic, fields) {
    this.kind = fields.kind
    this.topic = topic
    this.key = fields.key
    this.meta = JSON.parse(fields.meta || '{}')
    this.prev_meta = fields.prevMeta ? JSON.parse(fields.prevMeta) : null
    this.ref = fields.ref
    this.prev_ref = fields.prevRef || null
    this.member = fields.member
    this.reason = fields.reason
    this.first = fields.first
    this.last = fields.last
  }

  get prevMeta () { return this.prev_meta }
  get prevRef () { return this.prev_ref }
}

/** The flat rows of the addon as objects whose metas are still text. */
function readRows (rows) {
  const out = []
  for (let i = 0; i + ROW <= rows.length; i += ROW) {
    const kind = KINDS[rows[i]] ?? ''
    out.push({
      kind,
      key: rows[i + 1],
      ref: rows[i + 2],
      prevRef: rows[i + 3],
      member: rows[i + 4],
      reason: kind === 'leave' ? REASONS[rows[i + 5]] ?? 'unknown' : null,
      first: (rows[i + 6] & 1) !== 0,
      last: (rows[i + 6] & 2) !== 0,
      meta: rows[i + 7],
      prevMeta: rows[i + 8]
    })
  }
  return out
}

/**
 * A state or a diff of one topic, built once and shared by all its consumers. What costs something is made at its first
 * use: `payload` out of the library's text, `text` out of the payload when fetch added to it, `changes` out of the rows.
 */
class PresenceEvent {
  #payload
  #text
  #rawText
  #rows
  #changes
  #onBadText
  #seq
  #first

  constructor ({ topic, event, text, seq = 0, rows = [], resync = false, fetched = true, first = false }) {
    this.topic = topic
    this.event = event
    this.resync = resync
    this.fetched = fetched
    this.#seq = seq
    this.#first = first
    this.#rawText = this.#text = text
    this.#rows = rows
  }

  get payload () {
    if (this.#payload === undefined) this.#setPayload(JSON.parse(this.#rawText))
    return this.#payload
  }

  get text () {
    if (this.#text !== undefined) return this.#text
    try {
      this.#text = JSON.stringify(this.#payload)
    } catch (error) { // what fetch added is no JSON
      this.#text = this.#rawText
      this.#onBadText(error)
    }
    return this.#text
  }

  get changes () {
    return (this.#changes ??= this.rows.map(row => new Change(this.topic, row)))
  }

  /** @internal */
  get rows () {
    if (!(this.#rows[0] instanceof Object)) this.#rows = readRows(this.#rows)
    return this.#rows
  }

  /** @internal its place among the events of the tracker */
  get seq () { return this.#seq }

  /** @internal part of the first sync */
  get first () { return this.#first }

  /** @internal */
  get rawText () { return this.#rawText }

  /** @internal */
  get size () { return this.#rawText.length + 128 }

  /** @internal */
  setFetched (payload, fetched, onBadText) {
    this.fetched = fetched
    this.#onBadText = onBadText
    this.#text = undefined
    this.#setPayload(payload)
  }

  #setPayload (payload) {
    this.#payload = payload
    if (this.event !== 'presence_diff') return
    Object.defineProperties(payload, { changes: { get: () => this.changes }, fetched: { get: () => this.fetched } })
  }

  toJSON () { return { topic: this.topic, event: this.event, payload: this.payload } }
}

/** One member of the cluster, as this member sees it. */
class Member {
  constructor (row) {
    const [name, id, address, incarnation, status, synced, isSelf, rttMs, entries, observer, linked, reason, lag] = row
    this.name = name
    this.id = id
    this.address = address
    this.incarnation = incarnation
    this.status = STATUSES[status] ?? 'unknown'
    this.synced = synced !== 0
    this.isSelf = isSelf !== 0
    this.rttMs = rttMs < 0 ? null : rttMs
    this.entries = entries
    this.observer = observer !== 0
    this.linked = linked !== 0
    this.lag = lag
    this.reason = reason || null
  }

  get is_self () { return this.isSelf }
  get rtt_ms () { return this.rttMs }
}

/** [name, number, …] with names in camel case. */
function readStats (flat) {
  const out = {}
  for (let i = 0; i < flat.length; i += 2) out[flat[i].replace(/_(\w)/g, (_, c) => c.toUpperCase())] = flat[i + 1]
  return out
}

module.exports = { Change, PresenceEvent, Member, readRows, readStats }
