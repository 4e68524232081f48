// What the user's class and listeners are to the machinery: which are there, and calls that never throw back.
'use strict'

const { runInside } = require('./inside.js')

class Hooks {
  #base
  #tracker
  #warned = new Set()

  /** base: the prototype whose methods do nothing */
  constructor (target, base, tracker) {
    this.target = target
    this.#base = base
    this.#tracker = tracker
  }

  overridden (name) { return this.target[name] !== this.#base[name] }

  /** Whether something wants the diffs of all topics. */
  consumesAll () {
    return ['handleDiff', 'handleMetas', 'handleResync'].some(name => this.overridden(name)) ||
      this.target.listenerCount('diff') > 0 || this.target.listenerCount('resync') > 0
  }

  /** Listeners one by one: one that throws does not keep the others from hearing. */
  tell (event, topic, ...parameters) {
    if ((event === 'diff' || event === 'resync') && this.#tracker.state !== 'open') return
    for (const listener of this.target.rawListeners(event)) {
      try {
        const result = listener.apply(this.target, parameters)
        if (typeof result?.then === 'function') result.then(undefined, error => this.#tracker.report(`a listener of '${event}'`, topic, error))
      } catch (error) {
        this.#tracker.report(`a listener of '${event}'`, topic, error)
      }
    }
  }

  async callMember (member) {
    if (this.overridden('handleMember')) { // also the last words of a tracker that has to stop
      try {
        await runInside(this.#tracker, 'callback', () => this.target.handleMember(member))
      } catch (error) {
        this.#tracker.report('handleMember', undefined, error)
      }
    }
    this.tell('member', undefined, member)
  }

  /** An asynchronous error: to its listeners, or, the first of its kind, to the log. */
  raise (error) {
    if (this.target.listenerCount('error') > 0) {
      this.tell('error', undefined, error)
    } else if (!this.#warned.has(error.code)) {
      this.#warned.add(error.code)
      this.#tracker.log(`libpresence: ${error.code}: ${error.message}`, { error })
    }
  }
}

module.exports = { Hooks }
