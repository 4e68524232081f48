// Owners: whatever presences belong to. Handles of ours, and foreign objects, which are adopted once: one owner of the
// library and one listener each.
//
// Happy path of a foreign object: first track -> it is neither refused nor over -> an owner is opened, one listener set,
// the object watched for collection -> it ends (abort, close, collected) -> the owner closes, all its presences leave.
// Failure paths: it cannot be an owner: InvalidOwner. It is over already: OwnerClosed, nothing is opened. The tracker
// stops first: the listeners are removed.
'use strict'

const native = require('./native.js')
const { InvalidOwner, OwnerClosed, InvalidArgument } = require('./errors.js').classes
const { describe, checkOptions } = require('./values.js')

const FOREIGN = Symbol.for('libpresence.owner') // also of another copy of this package

class Owner {
  #owners
  #id
  #closed = false

  /** @internal use users.owner() */
  constructor (owners, id) {
    this.#owners = owners
    this.#id = id
  }

  get [FOREIGN] () { return true }
  get closed () { return this.#closed }

  track (topic, key, meta) { return this.#owners.presence.track(this, topic, key, meta) }
  update (topic, key, meta, options) { return this.#owners.presence.update(this, topic, key, meta, options) }
  untrack (topic, key) { return this.#owners.presence.untrack(this, topic, key) }

  /** Puts off the end of a lease. */
  touch () {
    this.#owners.tracker.check(native.ownerTouch(this.#owners.tracker.opened, this.#id))
  }

  /** All its presences leave. Closing twice is nothing. */
  close () {
    if (this.#closed) return
    this.#closed = true
    if (this.#owners.tracker.state === 'open') native.ownerClose(this.#owners.tracker.handle, this.#id)
  }

  static idOf (owner, owners) {
    if (owner.#owners !== owners) throw new InvalidOwner('this owner belongs to another tracker')
    return owner.#id
  }
}
if (Symbol.dispose) Owner.prototype[Symbol.dispose] = Owner.prototype.close
if (Symbol.asyncDispose) Owner.prototype[Symbol.asyncDispose] = async function () { this.close() }

const isFunction = value => typeof value === 'function'
const isOver = owner => owner.aborted === true || owner.destroyed === true || owner.closed === true ||
  owner.readyState === 2 || owner.readyState === 3

/** How to hear of the end: [add, remove, event], or undefined when only collection tells. */
function ending (owner) {
  if (owner instanceof AbortSignal) return ['addEventListener', 'removeEventListener', 'abort']
  if (isFunction(owner.on) && isFunction(owner.removeListener)) return ['on', 'removeListener', 'close']
  if (isFunction(owner.addEventListener) && isFunction(owner.removeEventListener)) {
    const event = typeof owner.aborted === 'boolean' ? 'abort' : 'close'
    return ['addEventListener', 'removeEventListener', event]
  }
  return undefined
}

function isIncomingMessage (value) {
  const http = process.getBuiltinModule?.('node:http') ?? require('node:http')
  return value instanceof http.IncomingMessage || value.constructor?.name === 'Http2ServerRequest'
}

function checkKind (owner) {
  if (owner === null || (typeof owner !== 'object' && typeof owner !== 'function')) {
    throw new InvalidOwner('an owner is users.owner(), an AbortSignal, an emitter of `close` (a socket, a response) or any ' +
      `other object, which leaves when it is collected; this is ${describe(owner)}`)
  }
  if (owner[FOREIGN] === true) throw new InvalidOwner('this owner belongs to another tracker')
  if (isIncomingMessage(owner)) {
    throw new InvalidOwner('a request ends when it has been read, not when the client goes: use its response (res) or its ' +
      'connection (req.socket) as the owner')
  }
}

class Owners {
  #foreign = new WeakMap()
  #live = new Set()
  #collected = new FinalizationRegistry(record => this.#close(record))

  constructor (presence, tracker) {
    this.presence = presence
    this.tracker = tracker
  }

  /** A new owner; lease: ms after which it closes unless touched. */
  open (options) {
    const { lease } = checkOptions(options)
    if (lease !== undefined && !(Number.isInteger(lease) && lease >= 1 && lease <= 86400000)) {
      throw new InvalidArgument('lease is 1 to 86400000 ms')
    }
    return new Owner(this, this.#openNative(lease ?? 0))
  }

  #openNative (lease) {
    return this.tracker.check(native.ownerOpen(this.tracker.opened, lease))
  }

  /** The library's owner for a write: adopts a foreign object at its first one. */
  idFor (owner) {
    return this.idOf(owner) ?? this.#adopt(owner)
  }

  /** The library's owner if it has one. */
  idOf (owner) {
    if (owner instanceof Owner) return Owner.idOf(owner, this)
    const record = this.#foreign.get(owner)
    if (record?.closed) throw new OwnerClosed('the owner is over: its presences have left')
    if (record) return record.id
    checkKind(owner)
    if (isOver(owner)) throw new OwnerClosed('the owner is over already (aborted, destroyed or closed)')
    return undefined
  }

  /** A foreign object that has ended: what it had has left. */
  isOver (owner) {
    if (owner === null || (typeof owner !== 'object' && typeof owner !== 'function') || owner instanceof Owner) return false
    const record = this.#foreign.get(owner)
    return record ? record.closed : isOver(owner)
  }

  #adopt (owner) {
    const record = { id: this.#openNative(0), closed: false, stopListening: undefined }
    this.#foreign.set(owner, record)
    this.#live.add(record)
    const way = ending(owner)
    if (way) {
      const [add, remove, event] = way
      const onEnd = () => this.#close(record)
      const weak = new WeakRef(owner) // a record must not keep what it watches
      try {
        owner[add](event, onEnd)
      } catch (error) {
        this.#close(record)
        throw error
      }
      record.stopListening = () => weak.deref()?.[remove](event, onEnd)
    }
    this.#collected.register(owner, record, record)
    return record.id
  }

  #close (record) {
    if (record.closed) return
    record.closed = true
    this.#forget(record)
    if (this.tracker.state === 'open') native.ownerClose(this.tracker.handle, record.id)
  }

  #forget (record) {
    this.#live.delete(record)
    this.#collected.unregister(record)
    record.stopListening?.()
    record.stopListening = undefined
  }

  stop () {
    for (const record of this.#live) this.#forget(record)
  }
}

module.exports = { Owner, Owners }
