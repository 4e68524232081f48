// The page of the demo in a real browser: people on two servers see each other, a server is killed and comes back.
//
// Two servers serve it, a third in C has guests. Every picture that is taken lies in build/browser afterwards.
'use strict'

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const readline = require('node:readline')
const { setTimeout } = require('node:timers/promises')
const { test, before, after, afterEach } = require('node:test')
const { chromium } = require('playwright-core')

const ROOT = path.resolve(__dirname, '../..')
const PICTURES = path.join(ROOT, 'build/browser')
const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
const COMMANDS = {
  python: ['.venv/bin/python', 'examples/roster.py'],
  node: [process.execPath, 'examples/roster.mjs'],
  c: ['build/roster']
}
const WITH_US = ['setpriv', '--pdeathsig', 'KILL'] // a server ends with the test, however that ends
const WIDE = { viewport: { width: 1280, height: 900 } }
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }

class Server {
  constructor (name) {
    this.name = name
    this.port = this.page = 0
    this.address = '127.0.0.1:0'
    this.asked = [] // whom its kill buttons want killed
  }

  async start (...others) {
    const settings = [`name=${this.name}`, `listen=${this.address}`, 'cluster=browser', `join=${others.map(other => other.address)}`]
    if (this.name !== 'c') settings.push(`page=${this.page}`)
    const [command, ...words] = [...WITH_US, ...COMMANDS[this.name], String(this.port), ...settings.filter(text => text !== 'join=')]
    this.process = spawn(command, words, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
    this.ended = once(this.process, 'exit')
    const lines = readline.createInterface({ input: this.process.stdout })
    const [ready] = await once(lines, 'line')
    lines.on('line', line => this.asked.push(line))
    const [, port, address, page] = ready.split(' ')
    Object.assign(this, { port: Number(port), address, page: Number(page ?? 0) })
    return this
  }

  async kill () {
    this.process.kill('SIGKILL')
    await this.ended
  }

  async stop () {
    if (this.process?.exitCode !== null || this.process.signalCode !== null) return
    this.process.kill('SIGTERM')
    const [code] = await this.ended
    assert.strictEqual(code, 0, `${this.name} ended with ${code}`)
  }

  /** Waits until all who are in the lobby are these; the server's own lines say so. */
  async hasOnly (...names) {
    const socket = net.connect(this.port, '127.0.0.1')
    const lines = readline.createInterface({ input: socket })[Symbol.asyncIterator]()
    const deadline = Date.now() + 40_000
    for (;;) {
      socket.write('list room:lobby\n')
      const seen = Object.keys(JSON.parse((await lines.next()).value).payload).sort()
      if (seen.join() === names.join()) break
      assert.ok(Date.now() < deadline, `${this.name} still has ${seen}`)
      await setTimeout(20)
    }
    socket.destroy()
  }

  /** Somebody in the lobby who is no browser; ends with the server. */
  guest (name, meta) {
    const socket = net.connect(this.port, '127.0.0.1', () => socket.write(`join room:lobby ${name} ${JSON.stringify(meta)}\n`))
    socket.on('error', () => {}).resume()
    return socket
  }
}

const python = new Server('python')
const node = new Server('node')
const c = new Server('c')
const guests = []
const wrong = [] // what a page complained of
let browser

before(async () => {
  fs.mkdirSync(PICTURES, { recursive: true })
  await python.start()
  await Promise.all([node.start(python), c.start(python)])
  guests.push(c.guest('guest-7', { status: 'busy', member: 'c', language: 'C' }))
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: process.getuid() === 0 ? ['--no-sandbox'] : [] })
})

after(async () => {
  await browser?.close()
  for (const socket of guests) socket.destroy()
  await Promise.all([python.stop(), node.stop(), c.stop()])
})

/** A page of a server, as somebody opens it. */
async function open (server, name, { room = 'lobby', context, ...options } = WIDE) {
  context ??= await browser.newContext({ reducedMotion: 'reduce', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(40_000)
  page.on('pageerror', error => wrong.push(`${name}: ${error}`))
  page.on('console', message => {
    const lost = /WebSocket connection to .* failed/.test(message.text()) // while its server is down
    if (message.type() !== 'log' && !lost) wrong.push(`${name}: ${message.text()}`)
  })
  page.on('request', request => {
    if (!request.url().startsWith(`http://127.0.0.1:${server.page}/`)) wrong.push(`${name} asks for ${request.url()}`)
  })
  await page.goto(`http://127.0.0.1:${server.page}/?name=${name}#${room}`)
  await page.waitForSelector('#connection[data-state=up]')
  return page
}

/** What a page shows: { name: "its state | server | server" } */
const roster = page => page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.card:not(.leaving)')].map(card => [
  card.dataset.key,
  [card.querySelector('.state').textContent, ...[...card.querySelectorAll('.where')].map(where => where.textContent.split(' ')[0]).sort()].join(' | ')
])))

/** Waits until the page shows exactly this. */
async function shows (page, expected) {
  const deadline = Date.now() + 40_000
  for (;;) {
    const seen = await roster(page)
    try {
      assert.deepStrictEqual(seen, expected)
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await page.waitForTimeout(20)
  }
}

const status = (page, member, wanted) => page.waitForSelector(`[data-member=${member}].${wanted}`)

/** No violation, nothing that moves, nothing wider than the screen; and a picture. */
async function judge (page, name) {
  const seen = await page.evaluate(`${AXE};axe.run()`)
  assert.deepStrictEqual(seen.violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), [], name)
  assert.ok(seen.passes.length > 10, 'axe looked at something')
  const [wide, most] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
  assert.ok(wide <= most, `${name}: ${wide} px on a screen of ${most}`)
  await page.screenshot({ path: path.join(PICTURES, `${name}.png`) })
}

afterEach(async () => {
  for (const context of browser.contexts()) await context.close()
  if (node.process.signalCode !== null) await node.start(python, c) // a test failed in between
  for (const server of [python, node]) await server.hasOnly('guest-7')
  assert.deepStrictEqual(wrong.splice(0), [])
})

test('two people on two servers; one server is killed and comes back', async t => {
  const ada = await open(python, 'Ada')
  const linus = await open(node, 'Linus', PHONE)
  const guest = { 'guest-7': 'busy | C' }
  for (const page of [ada, linus]) await shows(page, { Ada: 'online | Python', Linus: 'online | Node', ...guest })

  await linus.fill('#note', 'Reading')
  await shows(ada, { Ada: 'online | Python', Linus: 'typing… | Node', ...guest })
  await linus.press('#note', 'Enter')
  await ada.waitForSelector('.said:text-is("Reading")')
  await linus.getByRole('radio', { name: 'Busy' }).check()
  for (const page of [ada, linus]) await shows(page, { Ada: 'online | Python', Linus: 'busy | Node', ...guest })
  for (const colorScheme of ['light', 'dark']) {
    for (const page of [ada, linus]) await page.emulateMedia({ colorScheme })
    await judge(ada, `desktop-${colorScheme}`)
    await judge(linus, `phone-${colorScheme}`)
  }

  const killed = performance.now()
  await node.kill()
  await shows(ada, { Ada: 'online | Python', ...guest })
  t.diagnostic(`the roster on the other server was right ${Math.round(performance.now() - killed)} ms after the kill`)
  await status(ada, 'node', 'down')
  await linus.waitForSelector('#banner:not([hidden])')
  await judge(linus, 'phone-dark-own-server-killed')
  await ada.emulateMedia({ colorScheme: 'light' })
  await judge(ada, 'desktop-light-other-server-killed')

  await node.start(python, c)
  for (const page of [ada, linus]) {
    await shows(page, { Ada: 'online | Python', Linus: 'busy | Node', ...guest })
    await status(page, 'node', 'up')
  }
  await linus.waitForSelector('#banner', { state: 'hidden' })
  await ada.waitForSelector('.said:text-is("Reading")') // what he was up to came back with him
  const log = await linus.locator('#log').innerText()
  assert.ok(!/(Ada|guest-7) (left|came)/.test(log), `nobody else left for him: ${log}`)
})

test('several tabs of one person are one entry; one that nobody looks at is away', async () => {
  const first = await open(python, 'Grace')
  const second = await open(python, 'Grace', { context: first.context() })
  const third = await open(node, 'Grace')
  const guest = { 'guest-7': 'busy | C' }
  await shows(first, { Grace: 'online · 3 tabs | Node | Python | Python', ...guest })
  await second.getByRole('radio', { name: 'Away' }).check()
  await third.getByRole('radio', { name: 'Away' }).check()
  await shows(third, { Grace: 'online · 3 tabs | Node | Python | Python', ...guest })
  await first.getByRole('radio', { name: 'Busy' }).check()
  await shows(third, { Grace: 'busy · 3 tabs | Node | Python | Python', ...guest })
  await second.close()
  await shows(third, { Grace: 'busy · 2 tabs | Node | Python', ...guest })
  await first.fill('#name', 'Hopper')
  await first.press('#name', 'Tab')
  await shows(third, { Grace: 'away | Node', Hopper: 'busy | Python', ...guest })
  await third.getByRole('radio', { name: 'Online' }).check()
  for (const hidden of [false, true, false]) {
    await third.evaluate(hidden => {
      Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    }, hidden)
    await shows(first, { Grace: hidden ? 'away | Node' : 'online | Node', Hopper: 'busy | Python', ...guest })
  }
})

test('everything works from the keyboard, and the kill button asks for a kill', async () => {
  const page = await open(python, 'Ada')
  await status(page, 'node', 'up')
  const focused = () => page.evaluate(() => document.activeElement.textContent || document.activeElement.value || document.activeElement.id)
  const tabTo = async pattern => {
    for (let i = 0; i < 25; i++) {
      await page.keyboard.press('Tab')
      if (pattern.test(await focused())) return
    }
    assert.fail(`Tab does not come to ${pattern}`)
  }
  await tabTo(/^kitchen/)
  await page.keyboard.press('Enter')
  await shows(page, { Ada: 'online | Python' })
  assert.strictEqual(await page.getAttribute('[data-room=kitchen]', 'aria-current'), 'true')
  await tabTo(/^online$/)
  await page.keyboard.press('ArrowRight')
  await shows(page, { Ada: 'away | Python' })
  await tabTo(/^Kill node/)
  await judge(page, 'desktop-light-keyboard')
  await page.keyboard.press('Enter')
  await page.waitForSelector('[data-member=node] .kill:has-text("Asked")')
  assert.match(await focused(), /^Asked/)
  while (python.asked.length === 0) await page.waitForTimeout(20)
  assert.deepStrictEqual(python.asked.splice(0), ['kill node'])
  await node.kill()
  await status(page, 'node', 'down')
  assert.match(await focused(), /^Gone/)
  await node.start(python, c)
  await status(page, 'node', 'up')
})

test('nothing moves for who asked for that; else cards come and go', async () => {
  const still = await open(python, 'Ada')
  const lively = await open(python, 'Grace', { ...WIDE, reducedMotion: 'no-preference' })
  await shows(lively, { Ada: 'online | Python', Grace: 'online | Python', 'guest-7': 'busy | C' })
  const moves = page => page.evaluate(() => getComputedStyle(document.querySelector('.card')).animationName)
  assert.deepStrictEqual([await moves(still), await moves(lively)], ['none', 'come'])
  const others = await Promise.all(['Hedy', 'Zoe'].map(name => open(node, name)))
  for (const page of [still, lively]) await page.waitForSelector('[data-key=Zoe]')
  for (const page of [still, lively]) {
    await page.evaluate(() => {
      window.put = []
      new MutationObserver(records => records.forEach(({ addedNodes }) => addedNodes.forEach(({ dataset }) => window.put.push(dataset.key))))
        .observe(document.getElementById('people'), { childList: true })
    })
  }
  await others[0].context().close()
  for (const page of [still, lively]) {
    await page.waitForSelector('[data-key=Hedy]', { state: 'detached' })
    assert.deepStrictEqual(await page.evaluate(() => window.put), [], 'nobody is moved because somebody leaves')
  }
})
