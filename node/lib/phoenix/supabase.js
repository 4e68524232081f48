// Presence for @supabase/realtime-js: a thin layer that speaks its events on a Phoenix channel.
//
// Its channel `supabase.channel('room')` is the topic `realtime:room`: endpoint.channel('realtime:*', supabaseChannel()).
// Served are presence (track, untrack, the join's presence config), broadcast to this server's clients, and access_token.
// Changes of a database are not: their list is always empty.
'use strict'

const { randomUUID } = require('node:crypto')
const { isDeepStrictEqual } = require('node:util')
const { NotTracked, PresenceError } = require('../errors.js').classes
const { Refuse } = require('./refuse.js')

const object = value => value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {}
const text = value => typeof value === 'string' && value !== '' ? value : undefined

/** authorize(topic, token, socket): called at the join and whenever the client renews its token; throws Refuse. */
function supabaseChannel ({ authorize } = {}) {
  return {
    async join (topic, params, socket) {
      const { config, access_token: token } = object(params)
      await authorize?.(topic, text(token), socket)
      const { presence, broadcast } = object(config)
      socket.assigns.supabase = {
        key: text(object(presence).key) ?? randomUUID(),
        echo: Boolean(object(broadcast).self),
        acknowledge: Boolean(object(broadcast).ack)
      }
      return { postgres_changes: [] }
    },

    async event (name, given, socket) {
      const { key, echo, acknowledge } = socket.assigns.supabase
      const payload = object(given)
      if (name === 'presence') return presence(payload, key, socket)
      if (name === 'broadcast') {
        if (ArrayBuffer.isView(payload.payload)) throw new Refuse('broadcasts of bytes are not served')
        if (echo) socket.broadcast('broadcast', payload)
        else socket.broadcastFrom('broadcast', payload)
        return acknowledge ? {} : undefined
      }
      if (name === 'access_token') {
        await authorize?.(socket.topic, text(payload.access_token), socket)
        return undefined
      }
      throw new Refuse('unknown event')
    }
  }
}

function presence ({ event, payload }, key, socket) {
  try {
    if (event === 'track') trackOrUpdate(key, object(payload), socket)
    else if (event === 'untrack') untrack(socket)
    else throw new Refuse('unknown presence event')
  } catch (error) {
    throw error instanceof PresenceError ? new Refuse(error.message) : error
  }
  return {}
}

function trackOrUpdate (key, meta, socket) {
  const { supabase } = socket.assigns
  if (supabase.meta !== undefined && isDeepStrictEqual(meta, supabase.meta)) return
  try {
    socket.update(key, meta)
  } catch (error) {
    if (!(error instanceof NotTracked)) throw error
    socket.track(key, meta)
  }
  supabase.meta = meta
}

function untrack (socket) {
  socket.untrack()
  socket.assigns.supabase.meta = undefined
}

module.exports = { supabaseChannel }
