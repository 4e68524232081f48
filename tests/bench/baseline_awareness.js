// The same load on the awareness protocol of Yjs (y-protocols): every presence is one client of one document.
// usage: baseline_awareness.js    with y-protocols and yjs in node_modules beside it
'use strict'
const { Doc } = require('yjs')
const { Awareness, applyAwarenessUpdate, encodeAwarenessUpdate } = require('y-protocols/awareness')

function report (name, value, unit) {
  console.log(`awareness.${name}\t${value.toPrecision(6)}\t${unit}`)
}

function cpu () {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

const state = i => ({ key: 'u' + String(i).padStart(10, '0'), meta: { status: 'online', at: 1000000000 + i, d: 1 } })

function make () {
  const awareness = new Awareness(new Doc())
  clearInterval(awareness._checkInterval)
  awareness.setLocalState(null)
  return awareness
}

// What another member would send of one client: a document that holds it alone.
function joins (count) {
  return Array.from({ length: count }, (_, i) => {
    const doc = new Doc()
    doc.clientID = i + 1
    const one = new Awareness(doc)
    clearInterval(one._checkInterval)
    one.setLocalState(state(i))
    return encodeAwarenessUpdate(one, [i + 1])
  })
}

function track () {
  const awareness = make()
  const count = 20000
  awareness.on('update', ({ added, updated, removed }) => encodeAwarenessUpdate(awareness, added.concat(updated, removed)))
  const start = cpu()
  for (let i = 0; i < count; i++) awareness.setLocalState(state(i))
  report('track', count / (cpu() - start), '/s')
}

function merge (count) {
  const updates = joins(count)
  const awareness = make()
  global.gc()
  const before = process.memoryUsage().heapUsed
  for (const update of updates) applyAwarenessUpdate(awareness, update, 'peer')
  global.gc()
  report('memory', (process.memoryUsage().heapUsed - before) / count, 'B')
  const all = encodeAwarenessUpdate(awareness, Array.from(awareness.getStates().keys()))
  report('wire.join', updates[count - 1].length, 'B')
  report('wire.snapshot', all.length / count, 'B')
  const later = make()
  let start = cpu()
  applyAwarenessUpdate(later, all, 'peer')
  report('apply', (cpu() - start) * 1e6 / count, 'us')
  const rounds = 2000
  const fresh = joins(count + rounds).slice(count)
  start = cpu()
  for (const update of fresh) applyAwarenessUpdate(later, update, 'peer')
  report('merge', (cpu() - start) * 1e6 / rounds, 'us')
}

function list (count) {
  const awareness = make()
  for (const update of joins(count)) applyAwarenessUpdate(awareness, update, 'peer')
  const rounds = 200000 / count
  const start = cpu()
  for (let i = 0; i < rounds; i++) JSON.stringify(Array.from(awareness.getStates().entries()))
  report('list.' + count, (cpu() - start) / rounds * 1e6, 'us')
}

track()
merge(20000)
list(100)
list(10000)
