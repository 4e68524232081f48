// driver.mjs: a member of a test cluster driven by JSON lines, as driver.c and driver.py.
import readline from 'node:readline'
import { Presence, PresenceError } from '../../node/index.mjs'

let users
const owners = []
let events = []
const ending = new AbortController()

function subscribed (topic) {
  return new Promise((resolve, reject) => {
    (async () => {
      for await (const { event, payload, resync, changes } of users.subscribe(topic, { signal: ending.signal })) {
        events.push({
          topic,
          event,
          payload,
          resync,
          changes: changes.map(c => ({
            kind: c.kind, key: c.key, meta: c.meta, prev_meta: c.prev_meta, ref: c.ref, prev_ref: c.prev_ref,
            member: c.member, reason: c.reason, first: c.first, last: c.last
          }))
        })
        resolve(null)
      }
    })().catch(error => { if (error.name !== 'AbortError') reject(error) })
  })
}

const requests = {
  async open ({ options }) {
    users = await Presence.start({ ...options, ...(options.join ? { join: options.join.split(',') } : {}) })
    return users.address
  },
  owner: ({ lease }) => owners.push(lease ? users.owner({ lease }) : users.owner()),
  close_owner: ({ owner }) => { owners[owner - 1].close(); return null },
  track: ({ owner, topic, key, meta }) => users.track(owners[owner - 1], topic, key, JSON.parse(meta)),
  update: ({ owner, topic, key, meta, if_ref: ifRef }) => users.update(owners[owner - 1], topic, key, JSON.parse(meta), ifRef ? { ifRef } : {}),
  untrack: ({ owner, topic, key }) => topic === undefined ? users.untrack(owners[owner - 1]) : users.untrack(owners[owner - 1], topic, key),
  list: ({ topic }) => users.list(topic),
  get: async ({ topic, key }) => await users.getByKey(topic, key) ?? null,
  saved: () => users.stats().bytesSaved,
  count: ({ topic }) => [users.count(topic), users.count(topic, { metas: true })],
  subscribe: ({ topic }) => subscribed(topic),
  events () { const taken = events; events = []; return taken },
  members: () => users.members().map(m => ({ name: m.name, status: m.status, synced: m.synced, is_self: m.isSelf ?? m.is_self, entries: m.entries })),
  synced: ({ timeout }) => users.synced({ timeout }),
  async stop () { await users.stop(); return null }
}

let turn = Promise.resolve()
const lines = readline.createInterface({ input: process.stdin })
lines.on('line', line => { turn = turn.then(() => answer(JSON.parse(line))) })
lines.on('close', () => turn.then(async () => { ending.abort(); await users?.stop() }))

async function answer (request) {
  let result
  try {
    result = { ok: await requests[request.do](request) ?? null }
  } catch (error) {
    if (!(error instanceof PresenceError)) throw error
    result = { error: error.code }
  }
  process.stdout.write(JSON.stringify(result) + '\n')
}
