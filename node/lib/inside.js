// Which hooks of the user a piece of code runs inside of, so that settle() does not wait for its own caller.
'use strict'

const { AsyncLocalStorage } = require('node:async_hooks')

const calls = new AsyncLocalStorage() // { tracker, kind, running, outer }

function find (matches) {
  let call = calls.getStore()
  while (call && !(call.running && matches(call))) call = call.outer
  return call
}

/** Runs a hook; whatever it begins, also later, is inside of it until it is done. kind: 'fetch' or 'callback' */
async function runInside (tracker, kind, run) {
  const call = { tracker, kind, running: true, outer: find(() => true) }
  try {
    return await calls.run(call, run)
  } finally {
    call.running = false
  }
}

/** The kind of the innermost hook of this tracker that is still running around the caller. */
function insideOf (tracker) {
  return find(call => call.tracker === tracker)?.kind
}

module.exports = { runInside, insideOf }
