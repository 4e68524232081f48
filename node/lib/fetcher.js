// Calls the user's fetch: with a copy, a time limit and a signal, and puts what it gives beside our metas.
//
// Happy path: call -> the mapping comes in time -> each key that was asked for gets its fields, `metas` stay ours.
// Failure paths: it throws, gives no mapping, or takes longer than fetch_timeout_ms: logged once, the unfetched entries
// are used, the signal is aborted on timeout. The tracker stops: the signal is aborted, the unfetched entries are used.
'use strict'

const { runInside } = require('./inside.js')
const { setOwn, describe } = require('./values.js')
const { PresenceTimeout } = require('./errors.js').classes

const isObject = value => value !== null && typeof value === 'object'

/** What a fetch gave, read once, while what throws in it is still a failure of fetch: [[key, fields], …]. */
function readExtras (keys, result) {
  if (!isObject(result) || Array.isArray(result)) throw new TypeError(`fetch returned ${describe(result)} instead of an object or a Map`)
  const extras = []
  for (const key of keys) {
    const extra = result instanceof Map ? result.get(key) : Object.hasOwn(result, key) ? result[key] : undefined
    if (isObject(extra)) extras.push([key, Object.entries(extra)])
  }
  return extras
}

/** Puts the fields of `parts` (one per slice, undefined: failed) beside the metas of `presences`. */
function merge (presences, parts) {
  for (const [key, fields] of parts.flatMap(part => part ?? [])) {
    const entry = { metas: presences[key].metas }
    for (const [name, value] of fields) if (name !== 'metas') setOwn(entry, name, value)
    setOwn(presences, key, entry)
  }
  return presences
}

function * slices (presences, size) {
  const keys = Object.keys(presences)
  for (let at = 0; at < keys.length; at += size) {
    const part = {}
    for (const key of keys.slice(at, at + size)) setOwn(part, key, presences[key])
    yield part
  }
}

class Fetcher {
  #presence
  #tracker
  #running = new Set()
  #states = new Map()
  #stopped = false
  #onIdle

  constructor (presence, tracker, onIdle) {
    this.#presence = presence
    this.#tracker = tracker
    this.#onIdle = onIdle
  }

  get idle () { return this.#running.size === 0 }

  /** One call, read: extras; undefined when it failed, which has been logged then. */
  async #call (topic, presences) {
    if (this.#stopped) return undefined
    const controller = new AbortController()
    this.#running.add(controller)
    const keys = Object.keys(presences)
    let timer
    let late
    try {
      const ended = new Promise((resolve, reject) => {
        const ms = this.#tracker.fetchTimeoutMs
        timer = setTimeout(() => reject((late = new PresenceTimeout(`fetch took longer than ${ms} ms`))), ms)
        timer.unref()
        controller.signal.addEventListener('abort', () => resolve(undefined), { once: true })
      })
      const result = runInside(this.#tracker, 'fetch', () => this.#presence.fetch(topic, presences, { signal: controller.signal }))
      return await Promise.race([result.then(given => readExtras(keys, given)), ended])
    } catch (error) {
      this.#tracker.report('fetch', topic, error)
      if (late) controller.abort(late)
      return undefined
    } finally {
      clearTimeout(timer)
      this.#running.delete(controller)
      if (this.idle) this.#onIdle()
    }
  }

  async #side (topic, ours, copy) {
    if (Object.keys(ours).length === 0) return true
    const result = await this.#call(topic, copy)
    merge(ours, [result])
    return result !== undefined
  }

  /** A diff as JSON text -> [{ joins, leaves }, whether all was fetched]; one call per side that is not empty. */
  async diff (topic, text) {
    const ours = JSON.parse(text)
    const copy = JSON.parse(text)
    const done = await Promise.all([this.#side(topic, ours.joins, copy.joins), this.#side(topic, ours.leaves, copy.leaves)])
    return [ours, done[0] && done[1]]
  }

  async #stateResults (topic, text) {
    const results = []
    for (const part of slices(JSON.parse(text), this.#tracker.fetchBatch)) results.push(await this.#call(topic, part))
    return results
  }

  /** A state as JSON text -> [presences, whether all was fetched]; who asks for the same at the same time shares it. */
  async state (topic, text) {
    const id = `${topic}\0${text}`
    let results = this.#states.get(id)
    if (results === undefined) {
      results = this.#stateResults(topic, text).finally(() => this.#states.delete(id))
      this.#states.set(id, results)
    }
    const parts = await results
    return [merge(JSON.parse(text), parts), !parts.includes(undefined)]
  }

  stop () {
    this.#stopped = true
    for (const controller of this.#running) controller.abort()
  }
}

module.exports = { Fetcher }
