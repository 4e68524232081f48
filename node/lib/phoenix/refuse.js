// Thrown by connect, join or event: the client gets an error with this reason (text, or an object: the whole response).
'use strict'

class Refuse extends Error {
  constructor (reason = 'unauthorized') {
    super(typeof reason === 'string' ? reason : JSON.stringify(reason))
    this.name = 'Refuse'
    this.response = typeof reason === 'string' ? { reason } : reason
  }
}

module.exports = { Refuse }
