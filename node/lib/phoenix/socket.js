// What a channel sees of its client: presences of this channel, pushes, and what connect let in.
'use strict'

const { OwnerClosed } = require('../errors.js').classes

class Socket {
  #session
  #owner

  /** @internal */
  constructor (session) {
    this.#session = session
    this.assigns = { ...session.connection.assigns } // this channel's own copy
  }

  /** Of the connection: the same in all its channels. */
  get id () { return this.#session.connection.id }
  get topic () { return this.#session.topic }
  get joinRef () { return this.#session.joinRef }
  get closed () { return this.#session.over }
  /** Aborted when the channel ends. */
  get signal () { return this.#session.signal }

  /** Of this channel's presences; made when it is asked for first. */
  get owner () {
    if (this.#session.over) throw new OwnerClosed('the channel is over')
    this.#owner ??= this.#session.endpoint.users.owner()
    return this.#owner
  }

  track (key, meta) { return this.owner.track(this.topic, key, meta) }
  update (key, meta, options) { return this.owner.update(this.topic, key, meta, options) }
  untrack (key) { return key === undefined ? this.owner.untrack() : this.owner.untrack(this.topic, key) }

  /** An event to this client alone. */
  push (event, payload) { this.#session.push(event, payload) }
  /** To every client in this topic on this server, this one included. */
  broadcast (event, payload) { this.#session.endpoint.broadcast(this.topic, event, payload) }
  /** As broadcast, but not to this client. */
  broadcastFrom (event, payload) { this.#session.endpoint.broadcast(this.topic, event, payload, { but: this }) }

  /** @internal */
  static end (socket) { socket.#owner?.close() }
}

module.exports = { Socket }
