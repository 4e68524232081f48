// The scripts of tests/scenarios that say `runs … node`, over real members in virtual time; each file one test.
'use strict'

const test = require('node:test')
const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { Cluster } = require('../testing.js')
const { Runner, readScript } = require('./scenario.js')

const folder = path.join(__dirname, '..', '..', 'tests', 'scenarios')
const scripts = fs.readdirSync(folder).filter(name => name.endsWith('.scenario')).sort()
  .map(name => readScript(path.join(folder, name))).filter(script => script.runs.split(' ').includes('node'))

test('there are scripts', () => assert.ok(scripts.length > 20))

for (const script of scripts) {
  test(path.basename(script.path, '.scenario'), async () => {
    for (const seed of [0, 1]) {
      const cluster = new Cluster({ seed, latency: [1, 1] })
      try {
        await new Runner(script, cluster).run()
      } finally {
        await cluster.close()
      }
    }
  })
}
