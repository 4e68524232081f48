// One consumer of one topic: exactly one state first, then every later diff, bounded.
//
// Happy path: made with a state and its place among the events (floor) -> next() gives the state, fetched -> diffs that
// came after it queue up and are given in order -> return() or the end of the tracker ends it.
// Failure paths: it is slow and its queue is over queue_bytes or callback_queue: what waits is dropped, and the next
// thing it gets is a fresh state with `resync`; before it took its first state, that one is simply made anew. The signal
// is aborted: whoever waits is rejected with AbortError. The tracker ends by an error: what is queued, then that error.
'use strict'

const { AbortError } = require('./failure.js')

const DONE = Object.freeze({ done: true, value: undefined })

class Subscription {
  #delivery
  #queue = []
  #bytes = 0
  #count = 0
  #floor
  #state // { text } to be fetched; undefined: none wanted
  #stateEvent // fetched, to be given next
  #fetching = false
  #first = true
  #lost = false
  #closed = false
  #ended = false
  #error
  #wake
  #turn = Promise.resolve()
  #signal
  #onAbort = () => this.#abort()

  constructor (delivery, topic, signal) {
    this.#delivery = delivery
    this.topic = topic
    if (signal?.aborted) {
      this.#error = new AbortError(signal)
      this.#ended = true
      return
    }
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** @internal */
  begin (text, seq) {
    this.#state = { text }
    this.#floor = seq
  }

  /** @internal a diff, or a fresh state of the library */
  push (event) {
    if (this.#closed || this.#lost || event.seq <= this.#floor) return
    this.#queue.push(event)
    if (!event.first) { // what belongs to the first sync does not count
      this.#bytes += event.size
      this.#count++
    }
    const { queueBytes, callbackQueue } = this.#delivery.tracker
    if (this.#bytes > queueBytes || this.#count > callbackQueue) this.#overflow()
    this.#notify()
  }

  /** @internal what was dropped before it came here */
  lose () {
    if (!this.#closed) this.#overflow()
    this.#notify()
  }

  #overflow () {
    this.#queue = this.#first ? [] : this.#queue.filter(event => event.first)
    this.#bytes = this.#count = 0
    this.#lost = true
    if (!this.#first) this.#delivery.resyncs++
  }

  /** @internal nothing comes any more */
  end (error) {
    this.#ended = true
    this.#error ??= error
    this.#notify()
  }

  #notify () {
    this.#wake?.()
    this.#wake = undefined
  }

  #abort () {
    this.#queue = []
    this.#error = new AbortError(this.#signal)
    this.#stateEvent = this.#state = undefined
    this.#leave()
    this.#ended = true
    this.#notify()
  }

  #leave () {
    if (this.#closed) return
    this.#closed = true
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#delivery.removeSubscription(this)
  }

  next () {
    const turn = this.#turn.then(() => this.#take())
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #take () {
    this.#delivery.tracker.hold()
    try {
      for (;;) {
        const item = this.#ready()
        if (item) return item
        await new Promise(resolve => { this.#wake = resolve })
      }
    } finally {
      this.#delivery.tracker.release()
    }
  }

  /** What next() gives now; undefined: wait. */
  #ready () {
    if (this.#closed) return this.#finish()
    if (this.#stateEvent) return this.#giveState()
    if (this.#lost && !this.#fetching && this.#queue.length === 0) this.#renew()
    if (this.#state && !this.#fetching) this.#fetchState(this.#state.text)
    const waiting = this.#fetching || this.#state
    if (!waiting && this.#queue.length > 0) {
      const value = this.#queue.shift()
      if (!value.first) {
        this.#bytes -= value.size
        this.#count--
      }
      return { done: false, value }
    }
    return this.#ended && !waiting ? this.#finish() : undefined
  }

  #finish () {
    this.#leave()
    const error = this.#error
    this.#error = undefined
    if (error) throw error
    return DONE
  }

  #giveState () {
    const value = this.#stateEvent
    this.#stateEvent = undefined
    this.#first = false
    return { done: false, value }
  }

  /** A fresh state instead of what was dropped; what is older than it is skipped from now on. */
  #renew () {
    const fresh = this.#delivery.read(this.topic)
    this.#lost = false
    if (fresh === undefined) return
    this.#state = { text: fresh[0] }
    this.#floor = fresh[1]
  }

  async #fetchState (text) {
    this.#fetching = true
    this.#state = undefined
    const event = await this.#delivery.stateEvent(this.topic, text, !this.#first)
    this.#fetching = false
    if (!this.#closed) this.#stateEvent = event
    this.#notify()
  }

  async return () {
    this.#error = undefined
    this.#leave()
    this.#notify()
    return DONE
  }

  async throw (error) {
    await this.return()
    throw error
  }

  close () { return this.return() }

  [Symbol.asyncIterator] () { return this }
}
if (Symbol.asyncDispose) Subscription.prototype[Symbol.asyncDispose] = async function () { await this.return() }

module.exports = { Subscription }
