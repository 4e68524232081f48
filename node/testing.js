// For the tests of programs that use libpresence: clusters in virtual time, members without a network, small clusters on
// loopback, waiting for a condition.
'use strict'

const { randomUUID } = require('node:crypto')
const { Presence } = require('./lib/presence.js')
const { Cluster, SettleTimeout } = require('./lib/cluster.js')

/** A started member that is alone and opens no socket (transport `memory`); stop it when the test ends. */
async function startAlone (options = {}, Class = Presence) {
  return Class.start({ transport: 'memory', ...options })
}

/** `count` members of one cluster on loopback, each of which sees all others. */
async function startCluster (count, options = {}, Class = Presence) {
  const members = []
  const cluster = randomUUID()
  try {
    for (let i = 0; i < count; i++) {
      members.push(await Class.start({ cluster, ...options, listen: '127.0.0.1:0', join: members.map(member => member.address) }))
    }
    const complete = member => member.isSynced && member.members().filter(other => other.status === 'up').length === count
    await waitFor(() => members.every(complete), { what: `${count} members to see each other` })
    return members
  } catch (error) {
    await Promise.all(members.map(member => member.stop({ timeout: 0 })))
    throw error
  }
}

/** Until `condition` (may be async) gives something true, which is returned; fails after `timeout` ms. */
async function waitFor (condition, { timeout = 5000, interval = 5, what = 'the condition' } = {}) {
  const deadline = performance.now() + timeout
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > deadline) throw new Error(`waited ${timeout} ms in vain for ${what}`)
    await new Promise(resolve => setTimeout(resolve, interval))
  }
}

module.exports = { Cluster, SettleTimeout, startAlone, startCluster, waitFor }
