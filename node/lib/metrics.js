// What Prometheus reads: the counters and members of this thread's members as text.
'use strict'

const native = require('./native.js')
const { Presence, INTERNALS } = require('./presence.js')
const { openTrackers } = require('./tracker.js')
const { failure } = require('./failure.js')
const { InvalidArgument } = require('./errors.js').classes

/** The text of the members given, else of all that are open; those that have stopped are left out. */
function metrics (...members) {
  for (const member of members) {
    if (!(member instanceof Presence)) throw new InvalidArgument('metrics takes Presences')
  }
  const trackers = members.length ? members.map(member => member[INTERNALS]().tracker) : openTrackers()
  const text = native.metrics(trackers.map(tracker => tracker.handle))
  if (typeof text === 'number') throw failure(text)
  return text
}

module.exports = { metrics }
