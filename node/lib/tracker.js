// One open tracker of the library: its handle, whether it is open, what keeps the loop alive, where errors go.
//
// Happy path: new -> open -> stopping -> stopped. While anything holds it (ref(), a pending promise of ours, a waiting
// subscription) it keeps the process alive; an idle one does not.
// Failure paths: open fails: it stays new, and says why. The library stops by itself (another member has our name): it
// is stopped with that error, which every later call throws. The process ends: one farewell of at most 250 ms.
'use strict'

const native = require('./native.js')
const { failure, textOf } = require('./failure.js')
const { WrongState, TrackerClosed, InvalidOption } = require('./errors.js').classes
const { readOptions, optionOf } = require('./options.js')

const FAREWELL_MS = 250
const TIMED_OUT = -12
const LIMIT = -11
const live = new Set()

/** Those that are open in this thread. */
function openTrackers () { return [...live] }

function sayFarewell () {
  for (const tracker of live) native.stopNow(tracker.handle, FAREWELL_MS)
}

function setLive (tracker, on) {
  if (on ? live.has(tracker) : !live.delete(tracker)) return
  if (on) live.add(tracker)
  if (on && live.size === 1) process.on('exit', sayFarewell)
  if (!on && live.size === 0) process.off('exit', sayFarewell)
}

class Tracker {
  state = 'new'
  network // the virtual one of libpresence/testing it starts on; undefined: the real one
  #holds = 0
  #held = false
  #reason

  constructor (options) {
    const { pairs, ours, number } = readOptions(options)
    const handle = native.configure(pairs, ours.env === true, ours.log !== undefined)
    if (Array.isArray(handle)) throw failure(handle[0], handle[1], optionOf(handle[1]))
    this.handle = handle
    this.ours = ours
    this.limits = {
      topic_bytes: number('topic_bytes'),
      key_bytes: number('key_bytes'),
      meta_bytes: number('meta_bytes')
    }
    this.quotas = {
      member_entries: number('member_entries'),
      topic_entries: number('topic_entries'),
      key_metas: number('key_metas')
    }
    this.queueBytes = number('queue_bytes')
    this.callbackQueue = number('callback_queue')
    this.fetchTimeoutMs = number('fetch_timeout_ms')
    this.fetchBatch = number('fetch_batch')
    this.fetchConcurrency = number('fetch_concurrency')
    if (!(this.fetchBatch >= 1)) throw new InvalidOption('option fetch_batch is no number')
  }

  open (onWake) {
    if (this.state === 'open') throw new WrongState('this tracker is started already')
    if (this.state !== 'new') throw this.closedError()
    this.state = 'open'
    const failed = native.open(this.handle, onWake, this.network?.handle)
    if (failed) {
      this.state = 'new'
      throw failure(failed[0], failed[1], optionOf(failed[1]))
    }
    setLive(this, true)
    this.#keepAlive()
  }

  /** The handle of an open tracker; else throws why there is none. */
  get opened () {
    if (this.state === 'open') return this.handle
    throw this.closedError()
  }

  closedError () {
    if (this.state === 'new') return new WrongState('the tracker is not started: await start() first')
    if (this.#reason) return failure(this.#reason.number, this.#reason.message)
    return new TrackerClosed('the tracker is stopped')
  }

  /** A result of the addon: negative numbers are errors. */
  check (result, topic, key, meta) {
    if (typeof result !== 'number' || result >= 0) return result
    throw this.error(result, topic, key, meta)
  }

  /** What a track of these items gave, at one of them. */
  refused (number, owner, flat, index) {
    const error = this.error(number, ...flat.slice(index * 3, index * 3 + 3))
    const option = number === LIMIT && !error.option ? native.trackCheck(this.handle, owner, flat) : ''
    if (!(option in this.quotas)) return error
    return failure(number, `over the limit of option ${option}, ${this.quotas[option]}`, { option })
  }

  error (number, topic = '', key = '', meta = '') {
    if (number !== LIMIT) return failure(number)
    const sizes = { topic_bytes: topic, key_bytes: key, meta_bytes: meta }
    for (const [option, text] of Object.entries(sizes)) {
      const size = Buffer.byteLength(text)
      if (size > this.limits[option]) return failure(number, `${size} bytes are over the limit of option ${option}, ${this.limits[option]}`, { option })
    }
    return failure(number)
  }

  hold () {
    this.#holds++
    this.#keepAlive()
  }

  release () {
    this.#holds--
    this.#keepAlive()
  }

  #keepAlive () {
    const held = this.#holds > 0 && (this.state === 'open' || this.state === 'stopping')
    if (held !== this.#held && this.state !== 'new') native.hold(this.handle, (this.#held = held))
  }

  /** Joins the threads; afterwards only what is queued can be drained, until close. */
  async stop (timeoutMs, reason) {
    this.#reason ??= reason
    this.state = 'stopping'
    // a name look-up that hangs can keep a thread from ending: it is waited for, off this thread
    for (let number = await native.stop(this.handle, timeoutMs); number === TIMED_OUT;) number = await native.stop(this.handle, 1000)
  }

  close () {
    this.state = 'stopped'
    setLive(this, false)
    native.close(this.handle)
  }

  /** An error of a user's callback, or a line of the library: once, to the log option or a process warning. */
  report (callback, topic, error) {
    const where = topic === undefined ? '' : ` (topic ${topic})`
    this.log(`libpresence: ${callback}${where} failed: ${textOf(error)}`, { callback, topic, error })
  }

  log (line, details) {
    const { log } = this.ours
    if (log === undefined) return process.emitWarning(line, { type: 'PresenceWarning' })
    const failed = error => process.emitWarning(`libpresence: the log option failed: ${textOf(error)}; it was given: ${line}`)
    try {
      const result = typeof log === 'function' ? log(line, details) : log.warn(line, details)
      if (typeof result?.then === 'function') result.then(undefined, failed)
    } catch (error) {
      failed(error)
    }
  }
}

module.exports = { Tracker, openTrackers }
