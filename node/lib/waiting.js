// Waiting that can end three ways: by what is waited for, by time, by a signal.
'use strict'

const { AbortError, checkSignal } = require('./failure.js')
const { checkOptions } = require('./values.js')
const { InvalidArgument, PresenceTimeout } = require('./errors.js').classes

const TIMER_MAX = 2147483647

function checkTimeout (timeout, name = 'timeout') {
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= 0)) {
    throw new InvalidArgument(`${name} is a number of ms, 0 or more`)
  }
  return timeout
}

/** begin(resolve, reject) starts to wait and returns what calls it off. */
function wait (begin, options, what) {
  const { timeout, signal } = checkOptions(options)
  checkTimeout(timeout)
  checkSignal(signal)
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(new AbortError(signal))
      return
    }
    let timer
    let callOff
    const end = (settle, value) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      callOff?.()
      settle(value)
    }
    const onAbort = () => end(reject, new AbortError(signal))
    signal?.addEventListener('abort', onAbort, { once: true })
    if (timeout !== undefined && timeout < TIMER_MAX) {
      timer = setTimeout(() => end(reject, new PresenceTimeout(`${what} took longer than ${timeout} ms`)), timeout)
    }
    callOff = begin(value => end(resolve, value), error => end(reject, error))
  })
}

module.exports = { wait, checkTimeout }
