// Thrown by connect, join or event: the client gets an error with this reason (text, or an object: the whole response).
'use strict'

class Refuse extends Error {
  constructor (reason = 'unauthorized') {
    const whole = reason !== null && typeof reason === 'object'
    super(whole ? JSON.stringify(reason) : String(reason))
    this.name = 'Refuse'
    this.response = whole ? reason : { reason: String(reason) }
  }
}

module.exports = { Refuse }
