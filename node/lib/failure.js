// Errors out of numbers of the library, and the error of an aborted signal.
'use strict'

const { inspect } = require('node:util')
const native = require('./native.js')
const { byNumber, classes } = require('./errors.js')

/** The error for a number of the library, with our text or the library's, and further fields. */
function failure (number, message, fields) {
  const Class = byNumber.get(number) ?? classes.InternalError
  return Object.assign(new Class(message || native.strerror(number)), fields)
}

/** What somebody threw, as text, whatever it is: also what has no text, or throws when it is asked for it. */
function textOf (thrown) {
  for (const show of [error => error.stack, String, inspect]) {
    try {
      const text = show(thrown)
      if (typeof text === 'string') return text
    } catch {
      continue
    }
  }
  return 'something that cannot be shown'
}

class AbortError extends Error {
  constructor (signal) {
    super('The operation was aborted', { cause: signal.reason })
    this.name = 'AbortError'
    this.code = 'ABORT_ERR'
  }
}

function checkSignal (signal) {
  if (signal !== undefined && !(signal !== null && typeof signal === 'object' && typeof signal.addEventListener === 'function')) {
    throw new classes.InvalidArgument('signal must be an AbortSignal')
  }
  return signal
}

module.exports = { failure, textOf, AbortError, checkSignal }
