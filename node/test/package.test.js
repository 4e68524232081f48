// The package as it is shipped: contents, installation elsewhere, types, what the addon shows and reaches.
'use strict'

const test = require('node:test')
const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { promisify } = require('node:util')
const execFile = promisify(require('node:child_process').execFile)
const native = require('../lib/native.js')

const root = path.join(__dirname, '..')
const addon = Object.keys(require.cache).find(name => name.endsWith('presence.node'))

function temporary (t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lib presence '))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  return folder
}

const runNode = (folder, ...parameters) => execFile(process.execPath, parameters, { cwd: folder })

test('npm pack has the addon and the types; the tarball installs elsewhere without scripts', async t => {
  const folder = temporary(t)
  const { stdout } = await execFile('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root })
  const packed = JSON.parse(stdout)
  const { filename, files } = Array.isArray(packed) ? packed[0] : Object.values(packed)[0]
  const names = files.map(file => file.path)
  for (const name of ['index.js', 'index.mjs', 'index.d.ts', 'index.d.mts', 'phoenix.js', 'phoenix.mjs', 'phoenix.d.ts', 'phoenix.d.mts', 'lib/phoenix/endpoint.js', 'testing.js', 'testing.mjs', 'testing.d.ts', 'testing.d.mts', 'lib/presence.js', 'lib/cluster.js', path.relative(root, addon)]) assert.ok(names.includes(name), name)
  assert.deepEqual(names.filter(name => /^(test|node_modules\/(?!ws\/).*)\//.test(name) || name === 'run-tests.js'), [])
  const app = path.join(folder, 'an app')
  fs.mkdirSync(app)
  fs.writeFileSync(path.join(app, 'package.json'), '{"name":"app","private":true}')
  await execFile('npm', ['install', '--ignore-scripts', '--offline', '--no-audit', '--no-fund', path.join(folder, filename)], { cwd: app })
  const program = "const users = await Presence.start({ transport: 'memory' }); users.track(users.owner(), 'room', 'u1'); console.log(users.count('room')); await users.stop()"
  const required = await runNode(app, '-e', `const { Presence } = require('libpresence'); require('libpresence/testing'); require('libpresence/phoenix'); (async () => { ${program} })()`)
  assert.equal(required.stdout, '1\n')
  const imported = await runNode(app, '--input-type=module', '-e', `import { Presence } from 'libpresence'; import { Cluster, waitFor } from 'libpresence/testing'; await (await new Cluster().start()).synced(); ${program}`)
  assert.equal(imported.stdout, '1\n')
  const installed = JSON.parse(fs.readFileSync(path.join(app, 'node_modules/libpresence/package.json')))
  assert.deepEqual(Object.keys(installed.dependencies), installed.bundleDependencies)
  assert.deepEqual(Object.keys(installed.scripts), ['test'])
})

test('no addon for this platform: the error names it and how to build it', async t => {
  const folder = temporary(t)
  for (const name of ['index.js', 'lib', 'package.json']) fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true })
  await assert.rejects(runNode(folder, '-e', 'require(".")'), error => {
    assert.match(error.stderr, new RegExp(`no addon for ${process.platform}-${process.arch}`))
    assert.match(error.stderr, /cmake .*-DPRESENCE_NODE=ON && cmake --build build/)
    return true
  })
})

test('the addon calls the libuv and nanopb inside itself', () => {
  const images = native.images()
  assert.deepEqual(Object.keys(images).sort(), ['EVP_DigestInit_ex', 'LZ4_decompress_safe', 'SSL_CTX_new', 'ZSTD_decompressDCtx', 'pb_decode', 'uv_loop_init'])
  for (const [symbol, image] of Object.entries(images)) assert.equal(fs.realpathSync(image), fs.realpathSync(addon), symbol)
})

test('the addon shows nothing but its entry, and wants nothing but Node-API and the C library', async () => {
  const symbols = async flag => (await execFile('nm', ['-D', flag, addon])).stdout.trim().split('\n').map(line => line.trim().split(/\s+/).at(-1).split('@')[0])
  assert.deepEqual((await symbols('--defined-only')).sort(), ['napi_register_module_v1', 'node_api_module_get_api_version_v1'])
  assert.deepEqual((await symbols('--undefined-only')).filter(name => /^(uv_|pb_|json_|presence_|pr_)/.test(name)), [])
})

test('the types compile, strictly, for import and for require', async () => {
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
  const options = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,esnext.disposable,dom', '--types', 'node']
  try {
    await execFile(process.execPath, [tsc, ...options, 'test/typings.mts', 'test/typings_phoenix.mts', 'test/typings.cts'], { cwd: root })
  } catch (error) {
    assert.fail(error.stdout || error.stderr)
  }
})

test('the lock file names no registry', () => {
  const lock = fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8')
  assert.doesNotMatch(lock, /"resolved"|https?:\/\/(?!opencollective|github|dotenvx|tidelift)[^"]*registry/)
})

test('every method has a type, and every type is there', () => {
  const { Presence, ...exported } = require('..')
  const types = fs.readFileSync(path.join(root, 'index.d.ts'), 'utf8')
  const body = types.slice(types.indexOf('export class Presence<'))
  for (const name of Object.getOwnPropertyNames(Presence.prototype)) {
    if (['constructor', 'addListener', 'prependListener'].includes(name)) continue
    assert.match(body, new RegExp(`\\b${name}\\(|get ${name}\\(`), name)
  }
  const phoenix = require('../phoenix.js')
  const phoenixTypes = fs.readFileSync(path.join(root, 'phoenix.d.ts'), 'utf8')
  for (const name of Object.keys(phoenix)) assert.match(phoenixTypes, new RegExp(`export (class|function) ${name}\\b`), name)
  const endpoint = phoenixTypes.slice(phoenixTypes.indexOf('export class Endpoint'))
  const shared = ['constructor', 'opened', 'closed', 'joined', 'left', 'diffFrame', 'runAside', 'report', 'logClose'] // with its connections
  for (const name of Object.getOwnPropertyNames(phoenix.Endpoint.prototype).filter(name => !shared.includes(name))) {
    assert.match(endpoint, new RegExp(`\\b${name}[ (:]`), name)
  }
  const limits = phoenixTypes.slice(phoenixTypes.indexOf('export interface Limits'), phoenixTypes.indexOf('export interface EndpointOptions'))
  const { limitsOf } = require('../lib/phoenix/limits.js')
  assert.deepEqual([...limits.matchAll(/^  (\w+): number$/gm)].map(([, name]) => name), Object.keys(limitsOf()))
  const errors = fs.readFileSync(path.join(root, 'lib/errors.d.ts'), 'utf8')
  for (const name of Object.keys(exported)) assert.match(types + errors, new RegExp(`export (class|const|function) ${name}\\b`), name)
})
