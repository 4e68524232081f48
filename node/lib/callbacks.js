// The consumer behind handleDiff, handleMetas, handleResync and the listeners of `diff` and `resync`: all topics, one
// call at a time.
//
// Happy path: a diff comes, fetched -> it waits behind those of its topic -> one call of handleDiff takes the oldest of
// every topic, then handleMetas is called for each of them with the topic as it was after that diff.
// Failure paths: a callback throws: logged, the next one is called. It never returns: what waits is bounded; over
// queue_bytes or callback_queue everything that waits is dropped, and each topic of it is compared with what was last
// given: the difference is delivered as a diff, or handleResync gets the state.
'use strict'

const { PresenceEvent, readRows } = require('./records.js')
const { Fold, diffText } = require('./fold.js')
const { runInside } = require('./inside.js')
const { setOwn } = require('./values.js')

class Callbacks {
  #delivery
  #presence
  #tracker
  #topics = new Map() // topic -> { fold, floor, items, lost, preparing }
  #active = new Set() // topics with something to do, of maybe very many
  #bytes = 0
  #count = 0
  #running = false

  constructor (delivery, presence) {
    this.#delivery = delivery
    this.#presence = presence
    this.#tracker = delivery.tracker
  }

  get idle () { return !this.#running && this.#active.size === 0 }

  #topic (name) {
    let t = this.#topics.get(name)
    if (t === undefined) {
      t = { name, fold: new Fold(), floor: 0, items: [], lost: false, preparing: false }
      this.#topics.set(name, t)
    }
    return t
  }

  /** What was there before the first diff: given as a difference to nothing, or taken as known. */
  begin (topic, asKnown) {
    const t = this.#topic(topic)
    if (!asKnown) return this.lose(topic)
    const fresh = this.#delivery.read(topic, true)
    if (fresh === undefined) return
    t.fold.reset(readRows(fresh[2]))
    t.floor = fresh[1]
  }

  push (event) {
    const t = this.#topic(event.topic)
    if (t.lost || event.seq <= t.floor) return // the state that will be read, or was read, has it
    this.#keep(t, { event, rows: event.rows })
    if (this.#bytes > this.#tracker.queueBytes || this.#count > this.#tracker.callbackQueue) this.#overflow()
    this.#run()
  }

  lose (topic) {
    const t = this.#topic(topic)
    for (const item of t.items.splice(0)) this.#drop(item)
    t.lost = true
    this.#active.add(t)
    this.#run()
  }

  /** What belongs to the first sync does not count, and is never dropped for being too much. */
  #keep (t, item) {
    t.items.push(item)
    this.#active.add(t)
    if (item.event.first) return
    this.#bytes += item.event.size
    this.#count++
  }

  #drop ({ event }) {
    if (event.first) return
    this.#bytes -= event.size
    this.#count--
  }

  #overflow () {
    for (const t of this.#active) {
      const kept = t.items.filter(({ event }) => event.first)
      if (kept.length === t.items.length) continue
      for (const item of t.items.splice(0)) this.#drop(item)
      t.items = kept
      t.lost = true
      this.#delivery.resyncs++
    }
  }

  /** Compares a topic whose diffs were dropped with what was last given. */
  async #prepare (t) {
    t.preparing = true
    const fresh = this.#delivery.read(t.name, true)
    t.lost = false
    if (fresh !== undefined) {
      const [text, seq, flat] = fresh
      const state = readRows(flat)
      const rows = t.fold.difference(state)
      t.floor = seq
      if (rows.length > 0) await this.#prepareItem(t, rows, state, text)
    }
    t.preparing = false
    this.#run()
  }

  async #prepareItem (t, rows, state, text) {
    const own = this.#presence.overridden('handleResync')
    const event = new PresenceEvent({ topic: t.name, event: 'presence_diff', text: diffText(rows), rows })
    let presences
    if (own) presences = (await this.#delivery.stateEvent(t.name, text, true)).payload
    else await this.#delivery.fetchDiff(event)
    this.#keep(t, { event, rows, state: own ? state : undefined, presences })
  }

  #take () {
    const batch = []
    for (const t of this.#active) {
      if (t.lost && !t.preparing && t.items.length === 0) this.#prepare(t)
      if (t.preparing) continue
      if (t.items.length === 0) {
        this.#active.delete(t)
        continue
      }
      const item = t.items.shift()
      this.#drop(item)
      batch.push({ t, item })
    }
    return batch
  }

  async #run () {
    if (this.#running) return
    this.#running = true
    for (let batch = this.#take(); batch.length > 0; batch = this.#take()) {
      const resyncs = batch.filter(({ item }) => item.state)
      const diffs = batch.filter(({ item }) => !item.state)
      for (const { t, item } of resyncs) await this.#giveResync(t, item)
      if (diffs.length > 0) await this.#giveDiffs(diffs)
      for (const { t } of batch) this.#forget(t)
    }
    this.#running = false
    this.#delivery.checkIdle()
  }

  /** An empty topic, unless something older than what was read of it may still come. */
  #forget (t) {
    if (!t.fold.empty || t.items.length > 0 || t.lost || t.preparing) return
    if (this.#delivery.hasPassed(t.name, t.floor)) this.#topics.delete(t.name)
  }

  async #giveResync (t, item) {
    t.fold.reset(item.state)
    t.fold.apply([], item.presences)
    await this.#call('handleResync', t.name, t.name, item.presences)
    this.#presence.tell('resync', t.name, t.name, item.presences)
  }

  async #giveDiffs (batch) {
    const diff = {}
    for (const { t, item } of batch) {
      t.fold.apply(item.rows, item.event.payload.joins)
      setOwn(diff, t.name, item.event.payload)
    }
    const names = batch.map(({ t }) => t.name).join(', ')
    await this.#call('handleDiff', names, diff)
    this.#presence.tell('diff', names, diff)
    if (!this.#presence.overridden('handleMetas')) return
    for (const { t, item } of batch) await this.#call('handleMetas', t.name, t.name, item.event.payload, t.fold.presences())
  }

  async #call (name, topics, ...parameters) {
    if (!this.#presence.overridden(name) || this.#tracker.state !== 'open') return
    try {
      await runInside(this.#tracker, 'callback', () => this.#presence.target[name](...parameters))
    } catch (error) {
      this.#tracker.report(name, topics, error)
    }
  }
}

module.exports = { Callbacks }
