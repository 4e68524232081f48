// The two serializers of Phoenix Channels: version 2 writes arrays of five, version 1 objects. Payloads may come as JSON
// text that was made before (Raw), so that a presence event is encoded once for all sockets. Binary frames are read, not
// written: version 2 has pushes whose payload is bytes, and realtime-js sends its broadcasts so.
'use strict'

class BadMessage extends Error {}

class TooLarge extends Error {}

class Raw {
  constructor (text) { this.text = text }
}

const DEPTH = 512 // of arrays and objects in a frame; what is deeper is refused, as handlers that recurse would fail on it

function toJson (value) {
  if (value instanceof Raw) return value.text
  const text = ArrayBuffer.isView(value) ? undefined : JSON.stringify(value ?? null)
  if (text === undefined) throw new TypeError('a payload must be a JSON value')
  return text
}

const version2 = {
  decode (frame) {
    if (typeof frame !== 'string') return binary(frame)
    const parts = parse(frame)
    if (!Array.isArray(parts) || parts.length !== 5) {
      throw new BadMessage('a message is an array of five: join_ref, ref, topic, event, payload')
    }
    const [joinRef, ref, topic, event, payload] = parts
    return checked(joinRef, ref, topic, event, payload)
  },
  encode (joinRef, ref, topic, event, payload) {
    return `[${toJson(joinRef)},${toJson(ref)},${toJson(topic)},${toJson(event)},${toJson(payload)}]`
  }
}

const version1 = { // a join's ref is its join_ref, which is never sent back
  decode (frame) {
    if (typeof frame !== 'string') throw new BadMessage('version 1 has no binary frames')
    const fields = parse(frame)
    if (fields === null || typeof fields !== 'object' || Array.isArray(fields)) {
      throw new BadMessage('a message is an object with topic, event, payload and ref')
    }
    const { topic, event, payload = {}, ref = null, join_ref: joinRef = event === 'phx_join' ? ref : null } = fields
    return checked(joinRef, ref, topic, event, payload)
  },
  encode (joinRef, ref, topic, event, payload) {
    return `{"topic":${toJson(topic)},"event":${toJson(event)},"payload":${toJson(payload)},"ref":${toJson(ref)}}`
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const VERSIONS = new Map([['1', version1], ['2', version2]])

/** The serializer a client asks for by `vsn`; undefined: an unknown one. */
function serializerOf (vsn) {
  return VERSIONS.get(String(vsn).split('.')[0])
}

/**
 * Kind 0, a push: four lengths, then join_ref, ref, topic, event, and the payload as bytes. Kind 3, a broadcast of
 * realtime-js: six numbers, of which the last says whether the payload is JSON; then its event and metadata.
 */
function binary (frame) {
  if (frame[0] === 0) {
    const { texts: [joinRef, ref, topic, event], rest } = fieldsOf(frame, 4, 5)
    return { joinRef: joinRef || null, ref: ref || null, topic, event, payload: rest }
  }
  if (frame[0] === 3) {
    const { texts: [joinRef, ref, topic, event, meta], rest } = fieldsOf(frame, 5, 7)
    const payload = { type: 'broadcast', event, payload: frame[6] === 1 ? parse(text(rest)) : rest }
    if (meta) payload.meta = parse(meta)
    return { joinRef: joinRef || null, ref: ref || null, topic, event: 'broadcast', payload }
  }
  throw new BadMessage('a binary frame of an unknown kind')
}

/** Texts behind a header of `start` bytes that has their lengths, and the rest. */
function fieldsOf (frame, count, start) {
  const texts = []
  for (const size of frame.subarray(1, count + 1)) {
    texts.push(text(frame.subarray(start, start + size)))
    start += size
  }
  if (frame.length < start) throw new BadMessage('a binary frame ends too early')
  return { texts, rest: frame.subarray(start) }
}

function text (bytes) {
  try {
    return UTF8.decode(bytes)
  } catch {
    throw new BadMessage('not UTF-8')
  }
}

function parse (text) {
  let value
  try {
    value = JSON.parse(text)
  } catch { // what it says has the client's own words in it
    throw new BadMessage('not JSON')
  }
  check(value)
  return value
}

/** Numbers that no double holds have become infinite, which no JSON can say again. */
function check (value) {
  for (let level = [value], depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH) throw new BadMessage('nested too deeply')
    const inner = []
    for (const item of level) {
      if (item === Infinity || item === -Infinity) throw new BadMessage('not JSON')
      if (item !== null && typeof item === 'object') for (const value of Object.values(item)) inner.push(value)
    }
    level = inner
  }
}

function checked (joinRef, ref, topic, event, payload) {
  if (typeof topic !== 'string' || typeof event !== 'string') throw new BadMessage('topic and event must be text')
  return { joinRef: refText(joinRef), ref: refText(ref), topic, event, payload }
}

function refText (ref) {
  if (ref === null || typeof ref === 'string') return ref
  if (Number.isSafeInteger(ref)) return String(ref) // old clients count in numbers
  throw new BadMessage('join_ref and ref must be text or null')
}

module.exports = { BadMessage, TooLarge, Raw, toJson, serializerOf }
