// Several members in one process, on a virtual network, in virtual time (libpresence/testing).
//
// Time stands still but in run, settle, until and synced. Each goes on from one moment at which a member gets events to
// the next, and serves the callbacks and fetches of these before time moves again, so the same seed gives the same
// history.
'use strict'

const native = require('./native.js')
const { Presence, INTERNALS } = require('./presence.js')
const { failure } = require('./failure.js')
const { checkTimeout } = require('./waiting.js')
const { checkOptions, describe } = require('./values.js')
const { InvalidArgument, PresenceTimeout, TrackerClosed, WrongState } = require('./errors.js').classes

const LIMIT_MS = 120000
const LOOK_MS = 10
const LATENCY_MAX_MS = 3600000
const TIMED_OUT = -12
const KILL = 1
const VANISH = 2

/** The members did not come to agree in time; the message says who disagrees about what. */
class SettleTimeout extends PresenceTimeout {}

/** The calls of presence/sim.h, errors thrown. */
class Network {
  constructor (seed, latency) {
    const handle = native.simNew(seed, ...latency)
    if (typeof handle === 'number') throw failure(handle)
    this.handle = handle
  }

  get now () { return native.simNow(this.handle) }

  check (number) {
    if (number < 0) throw failure(number, native.simMessage(this.handle))
    return number
  }

  /** To the next moment at which a member gets events; false: it is `until`. */
  advance (until) { return this.check(native.simStep(this.handle, until, false)) === 1 }

  /** As advance; false: all agree. */
  settle (until) {
    const number = native.simStep(this.handle, until, true)
    if (number === TIMED_OUT) throw new SettleTimeout(native.simMessage(this.handle))
    return this.check(number) === 1
  }

  agreed () { return native.simStep(this.handle, this.now, true) === 0 }

  /** What `synced` of a member is here: waiting is what moves time. */
  async synced (tracker, options) {
    const timeout = checkTimeout(checkOptions(options).timeout)
    const number = native.simSynced(tracker.opened, timeout === undefined ? -1 : Math.min(timeout, 2147483647))
    if (number === TIMED_OUT) throw new PresenceTimeout(`not synced within ${timeout ?? 600000} ms of virtual time`)
    return tracker.check(number) === 0 ? 'synced' : 'alone'
  }
}

function seedOf (seed) {
  if (typeof seed === 'bigint' || Number.isSafeInteger(seed)) return BigInt.asUintN(64, BigInt(seed))
  throw new InvalidArgument(`seed must be a whole number, not ${describe(seed)}`)
}

function latencyOf (latency) {
  const [least, most] = Array.isArray(latency) ? latency : []
  if (Number.isInteger(least) && Number.isInteger(most) && least >= 0 && least <= most && most <= LATENCY_MAX_MS) return [least, most]
  throw new InvalidArgument(`latency must be [least, most] in ms, 0 to ${LATENCY_MAX_MS}`)
}

class Cluster {
  #network
  #options
  #added = []

  constructor (options) {
    const { seed = 0, latency = [1, 3], options: defaults = {} } = checkOptions(options)
    this.#network = new Network(seedOf(seed), latencyOf(latency))
    this.#options = checkOptions(defaults)
  }

  /** Virtual ms since the cluster was made. */
  get now () { return this.#network.now }

  /** Those that run, in the order in which they were added. */
  get members () { return this.#added.filter(member => member[INTERNALS]().tracker.state === 'open') }

  async start (name, Class, options) {
    if (typeof Class !== 'function') [Class, options] = [Presence, Class]
    if (Class !== Presence && !(Class.prototype instanceof Presence)) {
      throw new InvalidArgument(`the members of a Cluster are Presences, not ${describe(Class)}`)
    }
    const named = name === undefined ? {} : { name }
    return this.add(new Class({ ...this.#options, ...checkOptions(options), ...named })).start()
  }

  /** A member made elsewhere, not started yet: when it starts, it starts here. */
  add (member) {
    if (!(member instanceof Presence)) throw new InvalidArgument(`the members of a Cluster are Presences, not ${describe(member)}`)
    const { tracker } = member[INTERNALS]()
    if (tracker.state !== 'new') throw new WrongState('started already: it cannot move to a cluster any more')
    tracker.network = this.#network
    this.#added.push(member)
    return member
  }

  #trackerOf (member) {
    if (!this.#added.includes(member)) throw new InvalidArgument(`${describe(member)} is no member of this cluster`)
    return member[INTERNALS]().tracker
  }

  #handleOf (member) { return this.#trackerOf(member).opened }

  // ---- faults ----

  partition (...groups) {
    const sides = new Map()
    groups.forEach((group, index) => {
      const members = group instanceof Presence ? [group] : group
      if (!Array.isArray(members)) throw new InvalidArgument(`a group is a list of members, not ${describe(group)}`)
      for (const member of members) {
        this.#handleOf(member)
        if (sides.has(member)) throw new InvalidArgument('a member is named twice')
        sides.set(member, index + 1)
      }
    })
    for (const member of this.members) {
      this.#network.check(native.simPartition(this.#network.handle, this.#handleOf(member), sides.get(member) ?? 0))
    }
  }

  block (from, to, options) {
    const { both = true } = checkOptions(options)
    const { handle } = this.#network
    this.#network.check(native.simBlock(handle, this.#handleOf(from), this.#handleOf(to)))
    if (both) this.#network.check(native.simBlock(handle, this.#handleOf(to), this.#handleOf(from)))
  }

  heal () { this.#network.check(native.simHeal(this.#network.handle)) }

  pause (member) { this.#network.check(native.simPause(this.#network.handle, this.#handleOf(member))) }

  resume (member) { this.#network.check(native.simResume(this.#network.handle, this.#handleOf(member))) }

  async crash (member, options) {
    const { silent = false } = checkOptions(options)
    const handle = this.#handleOf(member)
    const { name } = member.members()[0]
    this.#network.check(native.simCrash(this.#network.handle, handle, silent ? VANISH : KILL))
    await member[INTERNALS]().end(new TrackerClosed(`the member '${name}' was crashed by the test`))
  }

  async stop (member) {
    this.#handleOf(member)
    await member.stop()
  }

  // ---- time ----

  async run (duration) {
    const until = this.#until(duration, 'the duration')
    await this.#serve(true)
    while (this.#network.advance(until)) await this.#serve(false)
    await this.#serve(true)
  }

  async settle (options) {
    const until = this.#until(checkOptions(options).limit ?? LIMIT_MS, 'limit')
    await this.#serve(true)
    for (;;) {
      const waiting = this.#network.settle(until)
      await this.#serve(!waiting)
      if (!waiting && this.#network.agreed()) return
    }
  }

  async until (condition, options) {
    const limit = checkOptions(options).limit ?? LIMIT_MS
    const until = this.#until(limit, 'limit')
    await this.#serve(true)
    for (;;) {
      const value = await condition()
      if (value) return value
      if (this.now >= until) throw new SettleTimeout(`the condition did not come true within ${limit} ms of virtual time`)
      this.#network.advance(Math.min(until, this.now + LOOK_MS))
      await this.#serve(false)
    }
  }

  #until (duration, name) {
    if (!(typeof duration === 'number' && duration >= 0 && duration < Infinity)) throw new InvalidArgument(`${name} is a number of ms, 0 or more`)
    return this.now + duration
  }

  /** Callbacks, fetches and subscriptions of those that got events. */
  async #serve (everybody) {
    const waiting = this.members.filter(member => native.simWaiting(this.#network.handle, this.#handleOf(member)) === 1 || everybody)
    for (const member of waiting) {
      try {
        await member.settle()
      } catch (error) {
        if (member[INTERNALS]().tracker.state === 'open') throw error // else it has stopped meanwhile
      }
    }
  }

  /** Stops all members. */
  async close () { await Promise.all(this.members.map(member => member.stop({ timeout: 1000 }))) }
}
if (Symbol.asyncDispose) Cluster.prototype[Symbol.asyncDispose] = async function () { await this.close() }

module.exports = { Cluster, SettleTimeout }
