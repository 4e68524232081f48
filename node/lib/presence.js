// The class Presence: checks what callers give, and joins the parts (tracker, owners, delivery, hooks) together.
'use strict'

const { EventEmitter } = require('node:events')
const native = require('./native.js')
const { Tracker } = require('./tracker.js')
const { Owners, Owner } = require('./owners.js')
const { Delivery } = require('./delivery.js')
const { Hooks } = require('./hooks.js')
const { HOOKS, optionText } = require('./options.js')
const { failure, checkSignal } = require('./failure.js')
const { wait, checkTimeout } = require('./waiting.js')
const { topicText, keyText, metaText, changedText, setOwn, describe, checkOptions } = require('./values.js')
const { Member, readStats } = require('./records.js')
const { InvalidArgument, NotTracked, StaleRef } = require('./errors.js').classes

const STOP_MS = 5000
const TIMED_OUT = -12
const INTERNALS = Symbol('libpresence internals') // for libpresence/testing alone

class Presence extends EventEmitter {
  #tracker
  #hooks
  #owners
  #delivery
  #stopping
  #referenced = false

  static async start (options) {
    return new this(options).start()
  }

  constructor (options) {
    super()
    const tracker = this.#tracker = new Tracker(options)
    for (const name of HOOKS) {
      if (tracker.ours[name]) Object.defineProperty(this, name, { value: tracker.ours[name], configurable: true, writable: true })
    }
    this.#hooks = Object.assign(new Hooks(this, Presence.prototype, tracker), {
      stopped: (number, message) => this.#stopped(number, message)
    })
    this.#owners = new Owners(this, tracker)
    this.#delivery = new Delivery(this.#hooks, tracker)
  }

  // ---- what a subclass may define ----

  fetch (topic, presences, { signal } = {}) { return presences } // eslint-disable-line no-unused-vars
  handleDiff (diff) {} // eslint-disable-line no-unused-vars
  handleMetas (topic, diff, presences) {} // eslint-disable-line no-unused-vars
  handleMember (member) {} // eslint-disable-line no-unused-vars
  handleResync (topic, presences) {} // eslint-disable-line no-unused-vars

  // ---- life ----

  async start () {
    this.#tracker.open(() => this.#onWake())
    if (this.#referenced) this.#tracker.hold()
    this.#delivery.start()
    return this
  }

  #onWake () {
    try {
      if (this.#tracker.state !== 'stopped') this.#delivery.drain()
    } catch (error) {
      this.#tracker.report('delivery', undefined, error)
    }
  }

  /** One stop, whoever asks; not an async function, whose promises would be many. */
  stop (options) {
    try {
      const timeout = checkTimeout(checkOptions(options).timeout) ?? STOP_MS
      if (this.#tracker.state === 'new') return Promise.resolve()
      return (this.#stopping ??= this.#stop(timeout))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async #stop (timeout, reason) {
    this.#tracker.hold()
    try {
      this.#owners.stop()
      const stopped = this.#tracker.stop(Math.min(timeout, 2147483647), reason)
      this.#delivery.stop()
      await stopped
      this.#delivery.drainAll()
    } finally {
      this.#tracker.release()
      this.#tracker.close()
      this.#delivery.end(reason)
    }
  }

  /** The library stopped by itself: a live member has our name. */
  #stopped (number, message) {
    if (number === 0 || this.#stopping) return
    const error = failure(number, message)
    this.#stopping = this.#stop(0, error)
    this.#hooks.raise(error)
  }

  [INTERNALS] () {
    return { tracker: this.#tracker, end: error => (this.#stopping ??= this.#stop(0, error)) }
  }

  ref () {
    if (!this.#referenced) {
      this.#referenced = true
      if (this.#tracker.state !== 'new') this.#tracker.hold()
    }
    return this
  }

  unref () {
    if (this.#referenced) {
      this.#referenced = false
      if (this.#tracker.state !== 'new') this.#tracker.release()
    }
    return this
  }

  /** Runs with the process kept alive until it is done. */
  async #held (run) {
    this.#tracker.hold()
    try {
      return await run()
    } finally {
      this.#tracker.release()
    }
  }

  get address () { return this.#tracker.check(native.address(this.#tracker.opened)) }
  get isSynced () { return this.#tracker.state === 'open' && native.synced(this.#tracker.handle) >= 0 }

  async synced (options) {
    if (this.#tracker.network) return this.#tracker.network.synced(this.#tracker, options)
    return this.#held(() => wait((resolve, reject) => {
      const look = () => {
        if (this.#tracker.state !== 'open') return reject(this.#tracker.closedError())
        const number = native.synced(this.#tracker.handle)
        if (number >= 0) resolve(number === 0 ? 'synced' : 'alone')
        else if (number !== TIMED_OUT) reject(failure(number))
        else callOff = this.#delivery.onSynced(look)
      }
      let callOff
      look()
      return () => callOff?.()
    }, options, 'synced'))
  }

  async settle (options) {
    return this.#held(() => wait((resolve, reject) => { this.#delivery.settle().then(resolve, reject) }, options, 'settle'))
  }

  // ---- changing ----

  owner (options) { return this.#owners.open(options) }

  track (owner, topic, key, meta) {
    const handle = this.#tracker.opened
    const topicName = topicText(topic)
    const keyName = keyText(key)
    const text = metaText(meta)
    const id = this.#owners.idFor(owner)
    const ref = native.track(handle, id, topicName, keyName, text)
    if (typeof ref === 'string') return ref
    throw this.#tracker.refused(ref, id, [topicName, keyName, text], 0)
  }

  trackMany (owner, items) {
    const handle = this.#tracker.opened
    if (typeof items?.[Symbol.iterator] !== 'function' || typeof items === 'string') {
      throw new InvalidArgument(`trackMany takes a list of [topic, key, meta], not ${describe(items)}`)
    }
    const flat = []
    for (const item of items) flat.push(...flatItem(item, flat.length / 3))
    const id = this.#owners.idFor(owner)
    const refs = native.trackMany(handle, id, flat)
    if (typeof refs[0] !== 'number') return refs
    const [number, index] = refs
    throw Object.assign(this.#tracker.refused(number, id, flat, index), { index })
  }

  update (owner, topic, key, change, options) {
    const handle = this.#tracker.opened
    const topicName = topicText(topic)
    const keyName = keyText(key)
    const { ifRef } = checkOptions(options)
    if (ifRef !== undefined && typeof ifRef !== 'string') throw new InvalidArgument(`ifRef is a ref, not ${describe(ifRef)}`)
    const id = this.#owners.idOf(owner)
    if (id === undefined) throw new NotTracked('this owner tracks nothing')
    if (typeof change === 'function') return this.#updateWith(id, topicName, keyName, change, ifRef)
    const text = changedText(change, 'update')
    return this.#tracker.check(native.update(handle, id, topicName, keyName, text, ifRef), topicName, keyName, text)
  }

  /** Compare-and-set on the ref: when the function itself updated what it was given, it is called again. */
  #updateWith (id, topic, key, change, ifRef) {
    for (;;) {
      const held = this.#heldBy(id, topic, key)
      if (ifRef !== undefined && ifRef !== held.ref) throw failure(StaleRef.number)
      const text = changedText(change(held.meta), 'the update function')
      const ref = native.update(this.#tracker.opened, id, topic, key, text, held.ref)
      if (ref !== StaleRef.number || ifRef !== undefined) return this.#tracker.check(ref, topic, key, text)
    }
  }

  #heldBy (id, topic, key) {
    const handle = this.#tracker.opened
    const [text, ref] = this.#tracker.check(native.getByKey(handle, topic, key, id), topic, key)
    if (text !== undefined) return { meta: JSON.parse(text), ref }
    // the library says why: the owner is closed, or holds no such entry
    throw this.#tracker.error(native.update(handle, id, topic, key, '{}', ''))
  }

  untrack (owner, topic, key) {
    const handle = this.#tracker.opened
    if (this.#owners.isOver(owner)) return 0 // all it had has left
    const id = this.#owners.idOf(owner)
    if (topic === undefined && key === undefined) return id === undefined ? 0 : this.#tracker.check(native.untrack(handle, id))
    const topicName = topicText(topic)
    const keyName = keyText(key)
    return id === undefined ? 0 : this.#tracker.check(native.untrack(handle, id, topicName, keyName), topicName, keyName)
  }

  // ---- reading ----

  async list (topic) {
    const name = topicText(topic)
    const [text] = this.#tracker.check(native.list(this.#tracker.opened, name, false), name)
    return this.#enrich(name, text)
  }

  async getByKey (topic, key) {
    const name = topicText(topic)
    const keyName = keyText(key)
    const rows = this.#tracker.check(native.getByKey(this.#tracker.opened, name, keyName), name, keyName)
    if (rows.length === 0) return null
    const presences = {}
    setOwn(presences, keyName, { metas: readMetas(rows) })
    const enriched = await this.#enrich(name, JSON.stringify(presences))
    return enriched[keyName]
  }

  async #enrich (topic, text) {
    if (!this.#hooks.overridden('fetch')) return JSON.parse(text)
    const [presences] = await this.#held(() => this.#delivery.fetcher.state(topic, text))
    return presences
  }

  count (topic, options) {
    const { metas } = checkOptions(options)
    const name = topicText(topic)
    return this.#tracker.check(native.count(this.#tracker.opened, name, Boolean(metas)), name)
  }

  addSeed (addresses) { this.#tracker.check(native.seedAdd(this.#tracker.opened, optionText('join', addresses))) }

  removeSeed (addresses) { return this.#tracker.check(native.seedRemove(this.#tracker.opened, optionText('join', addresses))) }

  topics () { return this.#tracker.check(native.topics(this.#tracker.opened)) }

  members (options) {
    const { all } = checkOptions(options)
    const members = this.#tracker.check(native.members(this.#tracker.opened)).map(row => new Member(row))
    return all ? members : members.filter(member => !member.observer || member.isSelf)
  }

  stats () {
    const stats = readStats(this.#tracker.check(native.stats(this.#tracker.opened)))
    stats.resyncs += this.#delivery.resyncs
    return stats
  }

  subscribe (topic, options) {
    return this.#delivery.subscribe(topicText(topic), checkSignal(checkOptions(options).signal))
  }

  // a first listener of `diff` or `resync` begins to consume all topics
  on (event, listener) { return this.#listen('on', event, listener) }
  addListener (event, listener) { return this.#listen('addListener', event, listener) }
  prependListener (event, listener) { return this.#listen('prependListener', event, listener) }

  #listen (add, event, listener) {
    super[add](event, listener)
    if (event === 'diff' || event === 'resync') this.#delivery.startCallbacks(true)
    return this
  }
}
if (Symbol.asyncDispose) Presence.prototype[Symbol.asyncDispose] = async function () { await this.stop() }

function flatItem (item, index) {
  try {
    if (!Array.isArray(item) || item.length < 2 || item.length > 3) {
      const given = Array.isArray(item) ? `${item.length} values` : describe(item)
      throw new InvalidArgument(`an item is [topic, key, meta], not ${given}`)
    }
    return [topicText(item[0]), keyText(item[1]), metaText(item[2])]
  } catch (error) {
    throw Object.assign(error, { index })
  }
}

/** [meta, ref, prevRef, …] of one key */
function readMetas (rows) {
  const metas = []
  for (let i = 0; i < rows.length; i += 3) {
    const meta = JSON.parse(rows[i])
    meta.phx_ref = rows[i + 1]
    if (rows[i + 2]) meta.phx_ref_prev = rows[i + 2]
    metas.push(meta)
  }
  return metas
}

module.exports = { Presence, Owner, INTERNALS }
