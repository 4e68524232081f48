// Which channel serves a topic: a topic itself, or a prefix that ends in `*`; the exact and the longest win.
'use strict'

const { InvalidArgument } = require('../errors.js').classes

class Patterns {
  #exact = new Map()
  #prefixes = []

  add (pattern, channel) {
    if (typeof pattern !== 'string' || pattern === '' || pattern.slice(0, -1).includes('*')) {
      throw new InvalidArgument('a pattern is a topic, or a beginning and one "*" at its end')
    }
    if (this.#exact.has(pattern) || this.#prefixes.some(([prefix]) => `${prefix}*` === pattern)) {
      throw new InvalidArgument(`pattern ${JSON.stringify(pattern)} has a channel already`)
    }
    if (pattern.endsWith('*')) {
      this.#prefixes.push([pattern.slice(0, -1), channel])
      this.#prefixes.sort((a, b) => b[0].length - a[0].length)
    } else {
      this.#exact.set(pattern, channel)
    }
  }

  find (topic) {
    return this.#exact.get(topic) ?? this.#prefixes.find(([prefix]) => topic.startsWith(prefix))?.[1]
  }
}

module.exports = { Patterns }
