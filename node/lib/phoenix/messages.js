// The two serializers of Phoenix Channels: version 2 writes arrays of five, version 1 objects. Payloads may come as JSON
// text that was made before (Raw), so that a presence event is encoded once for all sockets.
'use strict'

class BadMessage extends Error {}

class TooLarge extends Error {}

class Raw {
  constructor (text) { this.text = text }
}

const toJson = value => value instanceof Raw ? value.text : JSON.stringify(value ?? null)

const version2 = {
  decode (text) {
    const parts = parse(text)
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
  decode (text) {
    const fields = parse(text)
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

const VERSIONS = new Map([['1', version1], ['2', version2]])

/** The serializer a client asks for by `vsn`; undefined: an unknown one. */
function serializerOf (vsn) {
  return VERSIONS.get(String(vsn).split('.')[0])
}

function parse (text) {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new BadMessage(`not JSON: ${error.message}`)
  }
}

function checked (joinRef, ref, topic, event, payload) {
  if (typeof topic !== 'string' || typeof event !== 'string') throw new BadMessage('topic and event must be text')
  return { joinRef: refText(joinRef), ref: refText(ref), topic, event, payload }
}

function refText (ref) {
  if (ref === null || typeof ref === 'string') return ref
  if (Number.isInteger(ref)) return String(ref) // old clients count in numbers
  throw new BadMessage('join_ref and ref must be text or null')
}

module.exports = { BadMessage, TooLarge, Raw, toJson, serializerOf }
