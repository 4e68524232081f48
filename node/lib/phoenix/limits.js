// What one socket may cost. What goes beyond closes the socket (or is refused by a reply) and is logged once.
'use strict'

const { InvalidOption } = require('../errors.js').classes

const DEFAULTS = Object.freeze({
  connectMs: 5000, // for the connect function, else the client is refused; and before, for the first sync
  frameBytes: 65536, // of a frame from the client; more: close 1009
  joins: 100, // channels joined at a time; more: an error reply "too many channels joined"
  eventsPerSecond: 100, // frames from the client, on average; more: close 1008
  eventsBurst: 400, // frames at once
  idleMs: 60000, // without a frame from the client (it sends heartbeats every 30 s): close 1001
  pendingEvents: 64, // of one channel, not handled yet; the socket is not read while there are more
  sendBytes: 1048576, // frames that wait for a client; more broadcasts: close 1013 (presence waits, then resyncs)
  closeMs: 2000 // to write the close frame, and for leave when the endpoint closes
})

function limitsOf (given = {}) {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULTS, name)) throw new InvalidOption(`unknown limit ${name}`)
    if (!(Number.isFinite(value) && value > 0)) throw new InvalidOption(`limit ${name} must be a positive number`)
  }
  return Object.freeze({ ...DEFAULTS, ...given })
}

module.exports = { limitsOf }
