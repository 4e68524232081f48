// The transport over a WebSocket of the package ws.
'use strict'

const { TooLarge } = require('./messages.js')

const AHEAD = 16 // messages taken from the socket before it is paused

class WsTransport {
  #socket
  #messages = []
  #ended = false
  #error
  #wake

  constructor (socket) {
    this.#socket = socket
    socket.on('message', (data, isBinary) => this.#arrived(isBinary ? data : data.toString()))
    socket.on('close', () => this.#end())
    socket.on('error', error => this.#end(error))
  }

  #arrived (frame) {
    this.#messages.push(frame)
    if (this.#messages.length >= AHEAD) this.#socket.pause()
    this.#wake?.()
  }

  #end (error) {
    this.#ended = true
    this.#error ??= error
    this.#wake?.()
  }

  async receive () {
    while (this.#messages.length === 0) {
      if (this.#error?.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') throw new TooLarge()
      if (this.#ended) return undefined // what else ws refused (a frame too large, broken UTF-8) it has closed itself
      await new Promise(resolve => { this.#wake = resolve })
    }
    const frame = this.#messages.shift()
    if (this.#messages.length === 0 && this.#socket.isPaused) this.#socket.resume()
    return frame
  }

  send (text) {
    return new Promise((resolve, reject) => this.#socket.send(text, error => error ? reject(error) : resolve()))
  }

  close (code, reason) {
    if (this.#socket.isPaused) this.#socket.resume()
    this.#socket.close(code, reason)
  }

  drop () {
    if (this.#socket.readyState !== 3) this.#socket.terminate()
  }
}

module.exports = { WsTransport }
