// What callers give: topics, keys and metas, checked and made text.
'use strict'

const { isPromise } = require('node:util/types')
const { InvalidArgument, InvalidTopic, InvalidKey, InvalidMeta } = require('./errors.js').classes

const META_DEPTH = 32

function describe (value) {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return `an object of ${Object.getPrototypeOf(value)?.constructor?.name || 'an unknown class'}`
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return value === undefined ? 'undefined' : `a ${typeof value}`
}

/** The optional last argument of a method. */
function checkOptions (options) {
  if (options === undefined || options === null) return {}
  if (typeof options !== 'object') throw new InvalidArgument(`options are an object, not ${describe(options)}`)
  return options
}

function topicText (topic) {
  const text = topic !== null && typeof topic === 'object' ? topic.topic : topic
  if (typeof text !== 'string') throw new InvalidTopic(`a topic is text, or an object with a text \`topic\`; this is ${describe(topic)}`)
  if (!text.isWellFormed()) throw new InvalidTopic('the topic has a lone surrogate and is no UTF-8 text')
  return text
}

function keyText (key) {
  if (typeof key === 'string') {
    if (!key.isWellFormed()) throw new InvalidKey('the key has a lone surrogate and is no UTF-8 text')
    return key
  }
  if (typeof key === 'bigint' || (typeof key === 'number' && Number.isSafeInteger(key))) return String(key)
  throw new InvalidKey(`a key is text, a safe integer or a bigint; this is ${describe(key)}`)
}

function isPlain (value) {
  if (value === null || typeof value !== 'object') return false
  const prototype = Object.getPrototypeOf(value) // of any realm
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null
}

/** Why JSON would lose or refuse something of a value: undefined, or { path, why }. */
function problem (value, depth) {
  switch (typeof value) {
    case 'string': case 'boolean': return undefined
    case 'number': return Number.isFinite(value) ? undefined : { path: '', why: `${value} is no JSON number` }
    case 'object': break
    default: return { path: '', why: `${describe(value)} is no JSON value` }
  }
  if (value === null) return undefined
  if (depth > META_DEPTH) return { path: '', why: `it is nested deeper than ${META_DEPTH} or cyclic` }
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const found = problem(value[i], depth + 1)
      if (found) return { path: `[${i}]${found.path}`, why: found.why }
    }
    return undefined
  }
  if (!isPlain(value)) return { path: '', why: `${describe(value)} is no plain object` }
  return problemOfFields(value, depth)
}

function problemOfFields (object, depth) {
  for (const name of Object.keys(object)) {
    const value = object[name]
    if (value === undefined) continue // as JSON: such a field is not there
    const found = problem(value, depth + 1)
    if (found) return { path: `.${name}${found.path}`, why: found.why }
  }
  return undefined
}

/** Refs that list added are dropped, so what list returned may be given back. */
function withoutRefs (meta) {
  if (!Object.hasOwn(meta, 'phx_ref') && !Object.hasOwn(meta, 'phx_ref_prev')) return meta
  const copy = { ...meta }
  delete copy.phx_ref
  delete copy.phx_ref_prev
  return copy
}

function metaText (meta) {
  if (meta === undefined) return '{}'
  if (!isPlain(meta) || Array.isArray(meta)) {
    throw new InvalidMeta(`a meta is a plain object; this is ${describe(meta)}`)
  }
  const own = withoutRefs(meta)
  const found = problemOfFields(own, 1)
  if (found) throw new InvalidMeta(`meta${found.path}: ${found.why}`)
  return JSON.stringify(own)
}

/** What an entry is changed to; unlike for track, nothing is no meta. */
function changedText (meta, from) {
  if (isPromise(meta)) {
    Promise.prototype.then.call(meta, undefined, () => {}) // nobody will ever look at it
    throw new InvalidMeta(`${from} must give a meta, not a promise of one`)
  }
  if (meta === undefined) throw new InvalidMeta(`${from} gave no meta; {} is the empty one`)
  return metaText(meta)
}

/** Sets an own property whatever its name is, also `__proto__`. */
function setOwn (object, name, value) {
  if (name === '__proto__') Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
  else object[name] = value
}

module.exports = { topicText, keyText, metaText, changedText, checkOptions, isPlain, describe, setOwn }
