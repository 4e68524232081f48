// The servers of docs/phoenix.md run as they are printed, and serve the official client.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { PYTHON, atEnd, connect, enter, push, root, until } = require('./world.js')

const document = fs.readFileSync(path.join(root, 'docs/phoenix.md'), 'utf8')
const printed = language => document.match(new RegExp(`<!-- test: ${language} -->\\n\`\`\`\\w+\\n([^]*?)\`\`\``))[1]

const SERVERS = {
  python: folder => {
    fs.writeFileSync(path.join(folder, 'app.py'), printed('python'))
    return [PYTHON, ['-m', 'uvicorn', 'app:app', '--port', '0']]
  },
  node: folder => {
    fs.mkdirSync(path.join(folder, 'node_modules'))
    fs.symlinkSync(path.join(root, 'node'), path.join(folder, 'node_modules/libpresence'))
    const listening = "server.on('listening', () => console.log(`http://127.0.0.1:${server.address().port}`))\n"
    fs.writeFileSync(path.join(folder, 'app.mjs'), printed('node').replace('8000', '0') + listening)
    return [process.execPath, ['app.mjs']]
  }
}

for (const [language, write] of Object.entries(SERVERS)) {
  test(`the server in ${language}`, async t => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'phoenix-docs-'))
    const [program, parameters] = write(folder)
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...parameters], { // it ends with the test
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe']
    })
    const ended = new Promise(resolve => child.on('close', resolve))
    atEnd(t, async () => {
      child.kill()
      await ended
      fs.rmSync(folder, { recursive: true })
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', data => { output += data })
    const [, host] = await until(() => output.match(/http:\/\/(127\.0\.0\.1:\d+)/), 'it to listen')
    const server = { url: `ws://${host}/socket` }
    const ann = await enter(await connect(t, server, { params: { user: 'ann' } }), 'room:1')
    await enter(await connect(t, server, { params: { user: 'bob' } }), 'room:1')
    assert.deepEqual(ann.response, { welcome: 'room:1' })
    assert.deepEqual(await push(ann, 'status', { status: 'away' }), {})
    await assert.rejects(push(ann, 'dance', {}), /unknown event/)
    const shown = () => ann.presence.list((user, { metas }) => `${user} ${metas.map(({ status }) => status)}`).sort().join()
    await until(() => shown() === 'ann away,bob online', 'both to be shown')
  })
}
