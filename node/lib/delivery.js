// From the library's queue to the consumers: drain in slices, fetch once per diff and topic, hand to all who want it.
//
// Happy path: a wake -> one slice is drained -> each diff goes into the lane of its topic -> at most fetch_concurrency
// lanes fetch at a time, each in order -> the callbacks and every subscription of the topic get the same event.
// Failure paths: more than queue_bytes wait to be fetched: draining pauses, the library's own bound takes over and gives
// one fresh state per topic. Nobody consumes a topic: its events are dropped unfetched. No memory for a diff: its
// consumers are told that something was lost, and read a fresh state.
'use strict'

const native = require('./native.js')
const { PresenceEvent, Member } = require('./records.js')
const { Subscription } = require('./subscription.js')
const { Callbacks } = require('./callbacks.js')
const { Fetcher } = require('./fetcher.js')
const { insideOf } = require('./inside.js')
const { failure } = require('./failure.js')

const SLICE = 256
const DIFF = 1
const RESYNC = 2
const MEMBER = 3
const SYNCED = 4
const ERROR = 5
const STOPPED = 6

class Delivery {
  resyncs = 0
  #presence
  #subscriptions = new Map() // topic -> Set
  #callbacks
  #lanes = new Map() // topic -> [event, …] to be fetched
  #ready = [] // topics of lanes that may go on
  #fetching = 0
  #waitingBytes = 0
  #paused = false
  #lastSeq = 0
  #synced = false // the first sync is over: bounds count from now on
  #members = Promise.resolve()
  #memberCalls = 0
  #idleWaiters = new Set()
  #syncWaiters = new Set()

  constructor (presence, tracker) {
    this.#presence = presence
    this.tracker = tracker
    this.fetcher = new Fetcher(presence.target, tracker, () => this.checkIdle())
  }

  start () {
    if (this.#presence.consumesAll()) this.startCallbacks(false)
  }

  /** asKnown: what is there already is no news (a listener that comes later) */
  startCallbacks (asKnown) {
    if (this.#callbacks || this.tracker.state !== 'open') return
    this.tracker.check(native.subscribeAll(this.tracker.handle))
    this.#callbacks = new Callbacks(this, this.#presence)
    for (const topic of this.tracker.check(native.topics(this.tracker.handle))) this.#callbacks.begin(topic, asKnown)
  }

  subscribe (topic, signal) {
    const handle = this.tracker.opened
    const subscription = new Subscription(this, topic, signal)
    if (signal?.aborted) return subscription
    const [text, seq] = this.tracker.check(native.subscribe(handle, topic), topic)
    subscription.begin(text, seq)
    const group = this.#subscriptions.get(topic)
    if (group) group.add(subscription)
    else this.#subscriptions.set(topic, new Set([subscription]))
    return subscription
  }

  removeSubscription (subscription) {
    const { topic } = subscription
    const group = this.#subscriptions.get(topic)
    if (!group?.delete(subscription) || group.size > 0) return
    this.#subscriptions.delete(topic)
    if (this.tracker.state === 'open' && !this.#callbacks) native.unsubscribe(this.tracker.handle, topic)
  }

  /** A topic as it is now: [json, seq, rows]; undefined when the tracker is not open. */
  read (topic, withRows = false) {
    if (this.tracker.state !== 'open') return undefined
    const fresh = native.list(this.tracker.handle, topic, withRows)
    return Array.isArray(fresh) ? fresh : undefined
  }

  /** A state, fetched. */
  async stateEvent (topic, text, resync, seq) {
    const event = new PresenceEvent({ topic, event: 'presence_state', text, resync, seq })
    if (!this.#presence.overridden('fetch')) return event
    const [payload, fetched] = await this.fetcher.state(topic, text)
    event.setFetched(payload, fetched, error => this.tracker.report('fetch', topic, error))
    return event
  }

  async fetchDiff (event) {
    if (!this.#presence.overridden('fetch')) return
    const [payload, fetched] = await this.fetcher.diff(event.topic, event.rawText)
    event.setFetched(payload, fetched, error => this.tracker.report('fetch', event.topic, error))
  }

  /** One slice of the library's queue; the library wakes us again if there is more. */
  drain () {
    for (const line = native.takeLog(this.tracker.handle); line.length > 0;) {
      const [level, text] = line.splice(0, 2)
      this.tracker.log(text, { level: ['', 'error', 'warning', 'info', 'debug'][level] })
    }
    if (this.#waitingBytes > this.tracker.queueBytes) {
      this.#paused = true
      return
    }
    for (const event of native.drain(this.tracker.handle, SLICE)) this.#accept(event)
    this.checkIdle()
  }

  /** All there is, at the end. */
  drainAll () {
    for (;;) {
      const events = native.drain(this.tracker.handle, SLICE)
      if (events.length === 0) return
      for (const event of events) this.#accept(event)
    }
  }

  #accept (event) {
    switch (event[0]) {
      case DIFF: case RESYNC: return this.#acceptChanges(event)
      case MEMBER: return this.#acceptMember(new Member(event[1]))
      case SYNCED:
        this.#synced = true
        return this.#wakeSynced()
      case ERROR: return this.#presence.raise(failure(event[1], event[2]))
      case STOPPED: return this.#presence.stopped(event[1], event[2])
    }
  }

  #wanted (topic) { return this.#callbacks !== undefined || this.#subscriptions.has(topic) }

  /** Whether everything of a topic up to seq has come by. */
  hasPassed (topic, seq) { return this.#lastSeq >= seq && !this.#lanes.has(topic) }

  #acceptChanges ([kind, topic, seq, text, rows]) {
    this.#lastSeq = seq
    if (!this.#wanted(topic)) return
    if (text === undefined) return this.#lose(topic)
    const event = kind === DIFF
      ? new PresenceEvent({ topic, event: 'presence_diff', text, seq, rows, first: !this.#synced })
      : new PresenceEvent({ topic, event: 'presence_state', text, seq, resync: true })
    if (!this.#presence.overridden('fetch') && !this.#lanes.has(topic)) return this.#deliver(event)
    this.#waitingBytes += event.size
    const lane = this.#lanes.get(topic)
    if (lane) return lane.push(event)
    this.#lanes.set(topic, [event])
    this.#ready.push(topic)
    this.#fetchLanes()
  }

  #fetchLanes () {
    while (this.#fetching < this.tracker.fetchConcurrency && this.#ready.length > 0) {
      this.#fetching++
      this.#fetchOne(this.#ready.shift())
    }
  }

  async #fetchOne (topic) {
    const lane = this.#lanes.get(topic)
    const event = lane[0]
    if (event.event === 'presence_diff') {
      if (this.#wanted(topic)) await this.fetchDiff(event)
      this.#deliver(event)
    } else {
      this.#deliver(this.#subscriptions.has(topic) ? await this.stateEvent(topic, event.rawText, true, event.seq) : event)
    }
    lane.shift()
    this.#waitingBytes -= event.size
    this.#fetching--
    if (lane.length > 0) this.#ready.push(topic)
    else this.#lanes.delete(topic)
    this.#fetchLanes()
    if (this.#paused && this.#waitingBytes <= this.tracker.queueBytes) this.#resume()
    this.checkIdle()
  }

  #resume () {
    this.#paused = false
    if (this.tracker.state === 'open') this.drain()
  }

  #deliver (event) {
    if (event.event === 'presence_diff') this.#callbacks?.push(event)
    else this.#callbacks?.lose(event.topic)
    for (const subscription of this.#subscriptions.get(event.topic) ?? []) subscription.push(event)
  }

  #lose (topic) {
    this.#callbacks?.lose(topic)
    for (const subscription of this.#subscriptions.get(topic) ?? []) subscription.lose()
  }

  #acceptMember (member) {
    this.#memberCalls++
    this.#members = this.#members.then(async () => {
      await this.#presence.callMember(member)
      this.#memberCalls--
      this.checkIdle()
    })
  }

  // ---- waiting ----

  /** Whether all is done that a caller inside of a callback or fetch, or of none, may wait for. */
  #idle (inside) {
    if (inside === 'fetch') return true
    const fetched = this.#lanes.size === 0 && this.fetcher.idle
    return fetched && (inside === 'callback' || (this.#memberCalls === 0 && (this.#callbacks?.idle ?? true)))
  }

  checkIdle () {
    for (const waiter of this.#idleWaiters) if (this.#idle(waiter.inside)) this.#wakeIdle(waiter)
  }

  #wakeIdle (waiter) {
    this.#idleWaiters.delete(waiter)
    waiter.resolve()
  }

  /** Until what was queued, fetched and called is done; a hook that waits for it is not waited for. */
  async settle () {
    const inside = insideOf(this.tracker)
    for (;;) {
      if (this.tracker.state !== 'open') throw this.tracker.closedError()
      this.drain()
      const idle = this.#idle(inside)
      if (inside === 'fetch' || (idle && this.#queued() === 0)) return
      if (idle) await new Promise(setImmediate)
      else await new Promise(resolve => this.#idleWaiters.add({ inside, resolve }))
    }
  }

  #queued () {
    const flat = this.tracker.check(native.stats(this.tracker.opened))
    return flat[flat.indexOf('queue_events') + 1]
  }

  /** Calls once something about synced() may have changed; gives the way to call that off. */
  onSynced (call) {
    this.#syncWaiters.add(call)
    return () => this.#syncWaiters.delete(call)
  }

  #wakeSynced () {
    for (const call of this.#syncWaiters) call()
    this.#syncWaiters.clear()
  }

  /** The tracker is ending: running fetches are cancelled, nothing is called any more. */
  stop () {
    this.fetcher.stop()
    this.#wakeSynced()
    for (const waiter of this.#idleWaiters) this.#wakeIdle(waiter)
  }

  /** Nothing comes any more. */
  end (error) {
    for (const group of [...this.#subscriptions.values()]) for (const subscription of [...group]) subscription.end(error)
  }
}

module.exports = { Delivery }
