// Runs node/test/*.test.js, or the files named, and ends with "N passed, N failed".
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { run } = require('node:test')
const { spec: Spec } = require('node:test/reporters')

const folder = path.join(__dirname, 'test')
const named = process.argv.slice(2).map(name => path.resolve(name))
const files = named.length > 0 ? named : fs.readdirSync(folder).filter(name => name.endsWith('.test.js')).map(name => path.join(folder, name))
const count = { passed: 0, failed: 0 }
const isTest = data => data.details?.type !== 'suite' && !files.includes(data.name)

const stream = run({ files, concurrency: 2, timeout: 300000 })
stream.on('test:pass', data => { if (isTest(data)) count.passed++ })
stream.on('test:fail', data => { if (isTest(data) || files.includes(data.name)) count.failed++ }) // a file fails that crashed or hung
stream.on('end', () => setImmediate(() => {
  console.log(`${count.passed} passed, ${count.failed} failed`)
  process.exitCode = count.failed === 0 && count.passed > 0 ? 0 : 1
}))
stream.compose(new Spec()).pipe(process.stdout)
