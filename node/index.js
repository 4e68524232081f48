// The package: everything it exports, from one CommonJS implementation that index.mjs re-exports.
'use strict'

const { Presence } = require('./lib/presence.js')
const { Owner } = require('./lib/owners.js')
const { Change, Member, PresenceEvent } = require('./lib/records.js')
const { classes } = require('./lib/errors.js')
const { metrics } = require('./lib/metrics.js')
const native = require('./lib/native.js')

module.exports = { Presence, Owner, PresenceEvent, Change, Member, metrics, version: native.version, ...classes }
