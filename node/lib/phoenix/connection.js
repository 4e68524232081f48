// One client's socket, whatever carries it: frames in, frames out, its channels, its limits.
//
// Happy path: frames are taken one after another; a join makes a Session, other events go to theirs; frames out wait in
// one queue that is written as the transport takes them. The end: the client closed, was idle, flooded, sent what is no
// message or too large a frame, is too slow for broadcasts, or the endpoint closes. Then, in this order: all owners
// close, sessions end, what waits is dropped, the close frame is written within closeMs.
//
// transport: receive() -> text, bytes, or undefined at the end, rejects with TooLarge; send(text) -> resolves when more may be
// sent; close(code, reason); drop() cuts it.
'use strict'

const { randomBytes } = require('node:crypto')
const { BadMessage, TooLarge } = require('./messages.js')
const { Session } = require('./session.js')

class Connection {
  #transport
  #sessions = new Map()
  #frames = []
  #bytes = 0
  #waitedBytes = 0
  #writing = false
  #waiters = []
  #heard = performance.now()
  #refilled = performance.now()
  #allowed
  #idle
  #over = false

  constructor (endpoint, transport, serializer, assigns) {
    this.id = randomBytes(8).toString('hex')
    this.endpoint = endpoint
    this.serializer = serializer
    this.assigns = assigns
    this.#transport = transport
    this.#allowed = endpoint.limits.eventsBurst
  }

  /** Until the socket ends; never rejects. */
  async run () {
    this.#lookIdle()
    this.endpoint.opened(this)
    try {
      for (let frame; !this.#over && (frame = await this.#transport.receive()) !== undefined;) {
        if (this.#over) break
        this.#heard = performance.now()
        if (this.#allows()) await this.#take(this.serializer.decode(frame))
        else this.close(1008, 'too many events')
      }
      this.close(0, 'the client closed')
    } catch (error) {
      if (error instanceof TooLarge) this.close(1009, 'frame too large')
      else if (error instanceof BadMessage) this.close(1007, error.message)
      else this.close(1011, error?.name ?? 'Error')
    }
  }

  // ---- frames out ----

  push (joinRef, ref, topic, event, payload) {
    this.send(this.serializer.encode(joinRef, ref, topic, event, payload))
  }

  /**
   * Queues a frame; a client that lets more than sendBytes wait is closed. waited: its sender waits for room by itself,
   * so a large state is no reason to close.
   */
  send (frame, waited = false) {
    if (this.#over) return
    if (!waited && this.#bytes - this.#waitedBytes > this.endpoint.limits.sendBytes) {
      this.close(1013, 'too slow')
      return
    }
    const size = Buffer.byteLength(frame)
    this.#frames.push([frame, size, waited])
    this.#bytes += size
    if (waited) this.#waitedBytes += size
    if (!this.#writing) this.#write()
  }

  async #write () {
    this.#writing = true
    try {
      while (this.#frames.length > 0 && !this.#over) {
        const frames = this.#frames
        this.#frames = []
        for (const [frame, size, waited] of frames) {
          if (this.#over) return
          await this.#transport.send(frame)
          this.#bytes -= size
          if (waited) this.#waitedBytes -= size
          if (this.#bytes <= this.endpoint.limits.sendBytes / 8) this.#letOn()
        }
      }
    } catch {
      this.close(0, 'the client is gone')
    } finally {
      this.#writing = false
    }
  }

  /** Resolves when little waits for this client. */
  async room () {
    while (!this.#over && this.#bytes > this.endpoint.limits.sendBytes / 4) {
      await new Promise(resolve => this.#waiters.push(resolve))
    }
  }

  #letOn () {
    for (const resolve of this.#waiters.splice(0)) resolve()
  }

  // ---- frames in ----

  #allows () {
    const { eventsPerSecond, eventsBurst } = this.endpoint.limits
    const earned = (this.#heard - this.#refilled) / 1000 * eventsPerSecond
    this.#allowed = Math.min(eventsBurst, this.#allowed + earned) - 1
    this.#refilled = this.#heard
    return this.#allowed >= 0
  }

  #lookIdle () {
    const left = this.#heard + this.endpoint.limits.idleMs - performance.now()
    if (left <= 0) this.close(1001, 'idle') // not 1000, after which older clients do not come back
    else this.#idle = setTimeout(() => this.#lookIdle(), Math.min(left, 2147483647))
  }

  async #take (message) {
    const session = this.#sessions.get(message.topic)
    if (message.topic === 'phoenix') this.#phoenix(message)
    else if (message.event === 'phx_join') this.#join(message, session)
    else if (session) await session.deliver(message)
    else this.unheard(message)
    await this.room()
  }

  /** Answers what is for a channel that is over or never was. */
  unheard (message) {
    if (message.event === 'phx_leave') this.#reply(message, message.joinRef, 'ok', {}) // left already
    else this.#reply(message, null, 'error', { reason: 'unmatched topic' })
  }

  #phoenix (message) {
    if (message.event === 'heartbeat') this.#reply(message, null, 'ok', {})
    else this.#reply(message, null, 'error', { reason: 'unmatched topic' })
  }

  #join (message, session) {
    const channel = this.endpoint.patterns.find(message.topic)
    if (!channel) {
      this.#reply(message, null, 'error', { reason: 'unmatched topic' })
    } else if (!session && this.#sessions.size >= this.endpoint.limits.joins) {
      this.#reply(message, message.joinRef, 'error', { reason: 'too many channels joined' })
    } else {
      session?.replaced()
      const joining = new Session(this, channel, message)
      this.#sessions.set(message.topic, joining)
      joining.run(message)
    }
  }

  #reply (message, joinRef, status, response) {
    this.push(joinRef, message.ref, message.topic, 'phx_reply', { status, response })
  }

  // ---- the end ----

  forget (session) {
    if (this.#sessions.get(session.topic) === session) this.#sessions.delete(session.topic)
  }

  /** Ends it; the first reason counts. code 0: the client is gone already. */
  close (code, reason) {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#idle)
    if (![0, 1000, 1001, 1012].includes(code)) this.endpoint.logClose(reason)
    for (const session of [...this.#sessions.values()]) session.end('closed')
    this.#letOn()
    this.#frames = []
    this.endpoint.closed(this)
    if (code === 0) {
      this.#transport.drop()
    } else {
      this.#transport.close(code, Buffer.from(reason).subarray(0, 100).toString())
      setTimeout(() => this.#transport.drop(), this.endpoint.limits.closeMs).unref()
    }
  }
}

module.exports = { Connection }
