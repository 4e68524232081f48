// One joined channel of one connection.
//
// Happy path: join -> reply ok -> presence_state, then every presence_diff -> events of the client, one at a time, each
// with its reply -> phx_leave: reply ok, phx_close.
// Failures: join refuses (error reply, nothing else) or throws (reply "join crashed"); event throws (phx_error, the
// client joins again); the topic is joined once more (phx_close with the old join_ref); the connection or the endpoint
// ends (nobody is told). However it ends, its owner closes at once, before anything is awaited.
'use strict'

const { Raw, toJson } = require('./messages.js')
const { InvalidTopic } = require('../errors.js').classes
const { Refuse } = require('./refuse.js')
const { Socket } = require('./socket.js')

class Session {
  #channel
  #waiting = []
  #wake
  #drained
  #abort = new AbortController()

  constructor (connection, channel, join) {
    this.connection = connection
    this.endpoint = connection.endpoint
    this.topic = join.topic
    this.joinRef = join.joinRef
    this.over = false
    this.joined = false
    this.#channel = channel
    this.socket = new Socket(this)
  }

  get signal () { return this.#abort.signal }

  /** Resolves when the client may be read on: not while too many events wait. */
  async deliver (message) {
    if (message.joinRef !== null && message.joinRef !== this.joinRef) return // of an earlier join of this client
    this.#waiting.push(message)
    this.#wake?.()
    while (!this.over && this.#waiting.length > this.endpoint.limits.pendingEvents) {
      await new Promise(resolve => { this.#drained = resolve })
    }
  }

  push (event, payload) {
    if (!this.over) this.connection.push(this.joinRef, null, this.topic, event, payload)
  }

  /** Its life; begins when the connection knows it, as what `join` throws at once ends it at once. */
  async run (join) {
    try {
      if (!await this.#join(join)) return
      if (this.#channel.presence !== false) this.#pump()
      while (!this.over) {
        const message = this.#waiting.shift()
        this.#drained?.()
        if (message) await this.#handle(message)
        else await new Promise(resolve => { this.#wake = resolve })
      }
    } catch (error) {
      this.#crashed(error)
    }
  }

  async #join (message) {
    try {
      if (this.#channel.presence !== false) this.#checkTopic()
      const response = await this.#channel.join?.(this.topic, message.payload, this.socket)
      toJson(response ?? {}) // whether it can be sent
      if (this.over) return false
      this.joined = true
      this.endpoint.joined(this)
      this.#reply(message, 'ok', response ?? {})
      return true
    } catch (error) {
      if (this.over) return false
      if (!(error instanceof Refuse)) this.endpoint.report('join', this.topic, error)
      this.#reply(message, 'error', error instanceof Refuse ? error.response : { reason: 'join crashed' })
      this.end('refused')
      return false
    }
  }

  /** Of one that cannot have presences nothing could be shown after the join. */
  #checkTopic () {
    try {
      this.endpoint.users.count(this.topic)
    } catch (error) {
      throw error instanceof InvalidTopic ? new Refuse('invalid topic') : error
    }
  }

  async #handle (message) {
    if (message.event === 'phx_leave') {
      this.#reply(message, 'ok', {})
      this.connection.push(this.joinRef, this.joinRef, this.topic, 'phx_close', {})
      this.end('left')
      return
    }
    try {
      if (!this.#channel.event) throw new Refuse('unmatched event')
      const response = await this.#channel.event(message.event, message.payload, this.socket)
      if (response !== undefined && response !== null) this.#reply(message, 'ok', response)
    } catch (error) {
      if (!(error instanceof Refuse)) throw error
      this.#reply(message, 'error', error.response)
    }
    await this.connection.room()
  }

  #reply (message, status, response) {
    if (this.over) return
    const payload = new Raw(`{"status":"${status}","response":${toJson(response)}}`) // or a function would vanish in it
    this.connection.push(this.joinRef, message.ref, this.topic, 'phx_reply', payload)
  }

  #crashed (error) {
    if (this.over) return
    this.endpoint.report('event', this.topic, error)
    this.connection.push(this.joinRef, this.joinRef, this.topic, 'phx_error', { reason: 'channel_crash' })
    this.end('error')
  }

  /** The state of the topic, then its diffs, as fast as this client takes them. */
  async #pump () {
    try {
      for await (const event of this.endpoint.users.subscribe(this.topic, { signal: this.signal })) {
        if (this.over) return
        await this.connection.room()
        if (this.over) return
        this.connection.send(this.#presenceFrame(event), true)
        await this.connection.room()
      }
    } catch (error) {
      if (this.over) return
      this.endpoint.report('presence', this.topic, error)
    }
    if (this.over) return
    // the tracker has stopped: this server knows nothing any more
    this.connection.push(this.joinRef, this.joinRef, this.topic, 'phx_error', { reason: 'stopped' })
    this.end('shutdown')
  }

  #presenceFrame (event) {
    const { serializer } = this.connection
    if (event.event !== 'presence_state') return this.endpoint.diffFrame(this.topic, event, serializer)
    return serializer.encode(this.joinRef, null, this.topic, event.event, new Raw(event.text))
  }

  /** The client joins the same topic again. */
  replaced () {
    if (this.joined) this.connection.push(this.joinRef, this.joinRef, this.topic, 'phx_close', {})
    this.end('replaced')
  }

  end (reason) {
    if (this.over) return
    this.over = true
    Socket.end(this.socket)
    this.connection.forget(this)
    this.#abort.abort()
    for (const message of this.#waiting.splice(0)) this.connection.unheard(message)
    this.#wake?.()
    this.#drained?.()
    if (this.joined) {
      this.endpoint.left(this)
      this.endpoint.runAside(this.#told(reason))
    }
  }

  async #told (reason) {
    try {
      await this.#channel.leave?.(reason, this.socket)
    } catch (error) {
      this.endpoint.report('leave', this.topic, error)
    }
  }
}

module.exports = { Session }
