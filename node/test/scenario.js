// Runs one script of tests/scenarios over the public API (tests/scenarios/README.md has the language).
'use strict'

const fs = require('node:fs')
const { Presence, PresenceError } = require('../index.js')
const { SettleTimeout } = require('../testing.js')

const UNITS = { ms: 1, s: 1000, m: 60000, h: 3600000 }
const ITEM = /^(?<sign>\+\+|--|[+~-])?(?<key>[^=]+)=(?<meta>[^<(@^]*)(?:<(?<old>[^(@^]*))?(?:\((?<reason>\w+)\))?(?:@(?<ref>[^^]*))?(?:\^(?<prev>.*))?$/
const SIGNS = { join: '+', update: '~', leave: '-' }

class ScenarioError extends Error {}

/** Heads and commands of a file. */
function readScript (path) {
  const script = { path, covers: '', runs: '', commands: [] }
  fs.readFileSync(path, 'utf8').split('\n').forEach((line, index) => {
    const text = line.replace(/(^|\s)#.*/, '').trimEnd()
    const head = text.split(' ')[0]
    const command = { line: index + 1, text: text.trim(), block: [] }
    if (head === 'covers' || head === 'runs') script[head] = text.slice(head.length + 1)
    else if (head !== '' && head !== 'seeds') script.commands.push(command)
    else if (head === '' && text !== '') script.commands.at(-1).block.push(command)
  })
  return script
}

function duration (text) {
  const [, number, unit] = /^(\d+)(ms|s|m|h)$/.exec(text)
  return Number(number) * UNITS[unit]
}

// ---- one presence or change ----
function parse (text) {
  const found = ITEM.exec(text)
  if (!found) throw new ScenarioError(`cannot read ${text}`)
  return Object.fromEntries(Object.entries(found.groups).filter(([, value]) => value !== undefined))
}

function ofChange (change) {
  const sign = SIGNS[change.kind].repeat(change.first || change.last ? 2 : 1)
  const item = { sign, key: change.key, meta: JSON.stringify(change.meta), ref: change.ref, prev: change.prevRef ?? '' }
  if (change.kind === 'update') item.old = JSON.stringify(change.prevMeta)
  if (change.reason) item.reason = change.reason
  return item
}

function ofPresences (presences) {
  return Object.entries(presences).flatMap(([key, entry]) => entry.metas.map(meta => {
    const { phx_ref: ref, phx_ref_prev: prev = '', ...user } = meta
    return { key, meta: JSON.stringify(user), ref, prev }
  }))
}

function meets (expected, actual) {
  if (expected.sign !== actual.sign) return false
  return Object.entries(expected).every(([name, value]) => value === '*' || value === (actual[name] ?? '') || (value === 'none' && !actual[name]))
}

function match (expected, actual, inOrder = false) {
  if (expected.length !== actual.length) return false
  if (inOrder) return expected.every((item, index) => meets(item, actual[index]))
  const left = [...actual]
  const named = item => 'ref' in item || 'prev' in item ? 0 : 1
  return [...expected].sort((a, b) => named(a) - named(b)).every(item => {
    const found = left.findIndex(other => meets(item, other))
    if (found >= 0) left.splice(found, 1)
    return found >= 0
  })
}

// ---- members that write down what their callbacks are given, and misbehave as told ----
class Seen extends Presence {
  diffs = []
  metas = []
  handling = ''
  fetching = ''

  async handleDiff (diff) {
    for (const [topic, sides] of Object.entries(diff)) this.diffs.push([topic, sides.changes.map(ofChange)])
    if (this.handling === 'fails') throw new Error('as told')
  }

  async handleMetas (topic, diff, presences) { this.metas.push([topic, ofPresences(presences)]) }
}

class Fetching extends Seen {
  async fetch (topic, presences) {
    if (this.fetching === 'fails') throw new Error('as told')
    if (this.fetching === 'nonsense') return 17
    return Object.fromEntries(Object.entries(presences).map(([key, entry]) => [key, { ...entry, name: `name of ${key}` }]))
  }
}

/** One script over one cluster. */
class Runner {
  constructor (script, cluster) {
    this.script = script
    this.cluster = cluster
    this.members = new Map()
    this.owners = new Map()
    this.variables = new Map()
    this.streams = new Map()
  }

  async run () {
    for (const command of this.script.commands) await this.command(command)
  }

  fillIn (text) { return text.replace(/[$%]\w+/g, name => this.variables.get(name) ?? name) }

  member (name) {
    if (!this.members.has(name)) throw new ScenarioError(`no member ${name}`)
    return this.members.get(name)
  }

  async command (command) {
    let words = this.fillIn(command.text).split(/\s+/)
    let refused, target
    Object.assign(this, { text: command.text, block: command.block, within: 0 })
    if (words[0] === 'refused') [refused, words] = [words[1], words.slice(2)]
    if (words.at(-2) === 'as' && words[0] !== 'subscribe') [target, words] = [command.text.split(/\s+/).at(-1), words.slice(0, -2)]
    if (words.at(-2) === 'within') [this.within, words] = [duration(words.at(-1)), words.slice(0, -2)]
    if (words[0] === 'repeat') return this.repeat(Number(words[1]), command.block)
    const where = `${this.script.path}:${command.line}`
    let result
    try {
      if (!(`do_${words[0]}` in this)) throw new ScenarioError(`no command ${words[0]}`)
      result = await this[`do_${words[0]}`](...words.slice(1))
    } catch (error) {
      if (error instanceof ScenarioError) throw new ScenarioError(`${where}: ${error.message}`)
      if (!(error instanceof PresenceError) || error.code.toLowerCase() !== refused) {
        throw new ScenarioError(`${where}: ${command.text}: ${error.stack}`)
      }
      return
    }
    if (refused !== undefined) throw new ScenarioError(`${where}: expected ${refused}, it succeeded`)
    if (target !== undefined) this.variables.set(target, result)
  }

  async repeat (times, block) {
    for (let number = 1; number <= times; number++) {
      this.variables.set('%n', String(number))
      for (const command of block) await this.command(command)
    }
  }

  // ---- members, faults, time ----
  async do_start (name, ...words) {
    const options = { log: () => {} }
    const told = {}
    for (const word of words) {
      const [option, value] = word.split('=')
      const camel = option.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())
      if (option === 'fetch' || option === 'handler') told[option] = value
      else if (/^\d+(ms|s|m|h)$/.test(value)) options[`${camel}Ms`] = duration(value)
      else options[camel] = /^\d+$/.test(value) ? Number(value) : value
    }
    const member = new (told.fetch ? Fetching : Seen)({ name, ...options })
    member.fetching = told.fetch ?? ''
    member.handling = told.handler ?? ''
    const old = this.members.get(name)
    if (old) Object.assign(member, { diffs: old.diffs, metas: old.metas })
    this.cluster.add(member)
    await member.start()
    this.members.set(name, member)
    for (const key of this.owners.keys()) if (key.startsWith(`${name} `)) this.owners.delete(key)
  }

  do_crash (name) { return this.cluster.crash(this.member(name)) }
  do_vanish (name) { return this.cluster.crash(this.member(name), { silent: true }) }
  do_leave (name) { return this.cluster.stop(this.member(name)) }
  do_stop (name) { return this.cluster.stop(this.member(name)) }
  do_pause (name) { this.cluster.pause(this.member(name)) }
  do_resume (name) { this.cluster.resume(this.member(name)) }

  do_partition (...words) {
    const groups = [[]]
    for (const word of words) word === '|' ? groups.push([]) : groups.at(-1).push(this.member(word))
    this.cluster.partition(...groups)
  }

  do_split (a, b) { this.cluster.block(this.member(a), this.member(b)) }
  do_oneway (a, arrow, b) { this.cluster.block(this.member(a), this.member(b), { both: false }) }
  do_heal () { this.cluster.heal() }
  do_run (time) { return this.cluster.run(duration(time)) }

  async do_settle () {
    try {
      await this.cluster.settle({ limit: this.within || 60000 })
    } catch (error) {
      if (error instanceof SettleTimeout) throw new ScenarioError(`not settled: ${error.message}`)
      throw error
    }
  }

  async do_clear () {
    await this.turn()
    for (const member of this.members.values()) member.diffs.length = member.metas.length = 0
    for (const stream of this.streams.values()) stream.events.length = 0
  }

  // ---- local calls ----
  owner (member, name) {
    const key = `${member} ${name}`
    if (!this.owners.has(key)) this.owners.set(key, this.member(member).owner())
    return this.owners.get(key)
  }

  do_owner (member, name, lease) {
    this.owners.set(`${member} ${name}`, this.member(member).owner(lease ? { lease: duration(lease.split('=')[1]) } : {}))
  }

  do_touch (member, owner) { this.owner(member, owner).touch() }
  do_close (member, owner) { this.owner(member, owner).close() }
  do_track (member, owner, topic, key, meta = '{}') { return this.member(member).track(this.owner(member, owner), topic, key, JSON.parse(meta)) }
  do_update (member, owner, topic, key, meta) { return this.member(member).update(this.owner(member, owner), topic, key, JSON.parse(meta)) }
  do_merge (member, owner, topic, key, more) { return this.member(member).update(this.owner(member, owner), topic, key, meta => ({ ...meta, ...JSON.parse(more) })) }
  do_untrack (member, owner, ...where) { this.member(member).untrack(this.owner(member, owner), ...where) }

  do_many (member, owner, topic, prefix, count, meta = '{}') {
    const items = Array.from({ length: Number(count) }, (_, index) => [topic, `${prefix}${index + 1}`, JSON.parse(meta)])
    this.member(member).trackMany(this.owner(member, owner), items)
  }

  // ---- subscriptions ----
  async do_subscribe (member, topic, as, name) {
    const stream = { subscription: this.member(member).subscribe(topic), events: [] }
    this.streams.set(name, stream)
    stream.ended = (async () => { for await (const event of stream.subscription) stream.events.push(event) })()
    await this.turn()
  }

  async do_unsubscribe (name) {
    await this.streams.get(name).subscription.close()
    await this.turn()
  }

  async turn () {
    for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
  }

  // ---- expectations ----
  check (good, expected, got) {
    if (!good) throw new ScenarioError(`${this.text}\n  expected ${show(expected)}\n  got      ${show(got)}`)
  }

  async expectWhen (condition, expected) {
    let [good, got] = await condition()
    const look = async () => { [good, got] = await condition(); return good }
    if (!good && this.within) {
      await this.cluster.until(look, { limit: this.within }).catch(error => { if (!(error instanceof SettleTimeout)) throw error })
    }
    this.check(good, expected, got)
  }

  async do_expect (...words) {
    if (words[0] === 'agreed') return this.expectAgreed()
    if (words[0] === 'ref') return this.check((words[1] === words[3]) === (words[2] === '=='), words[2], words)
    if (this.streams.has(words[0])) return this.expectStream(this.streams.get(words[0]))
    if (words[1].includes(':')) return this.expectList(words[0], words[1], words.slice(2))
    if (!(`expect_${words[1]}` in this)) throw new ScenarioError(`expect ${words[1]}?`)
    return this[`expect_${words[1]}`](words[0], ...words.slice(2))
  }

  async expectStream ({ events }) {
    await this.turn()
    this.transcript(events.map(event => event.event === 'presence_state' ? ['state', ofPresences(event.payload)] : ['', event.changes.map(ofChange)]))
    events.length = 0
  }

  expectList (member, topic, words) {
    const expected = words.filter(word => word !== 'nobody').map(parse)
    return this.expectWhen(async () => {
      const actual = ofPresences(await this.member(member).list(topic))
      return [match(expected, actual), actual]
    }, expected)
  }

  async expect_key (member, topic, key, ...metas) {
    const entry = await this.member(member).getByKey(topic, key)
    const actual = entry ? entry.metas.flatMap(meta => ofPresences(Object.fromEntries([[key, { metas: [meta] }]]))) : []
    const expected = metas.map(meta => parse(`${key}=${meta}`))
    this.check(match(expected, actual, true), expected, actual)
  }

  async expect_listed (member, topic, ...words) {
    const presences = await this.member(member).list(topic)
    const extra = entry => Object.keys(entry).filter(name => name !== 'metas').map(name => `&${name}`).join('')
    const got = Object.entries(presences).map(([key, entry]) => key + extra(entry)).sort()
    this.check(String(got) === String(words.sort()), words, got)
  }

  expect_count (member, topic, keys, metas) {
    const got = [this.member(member).count(topic), this.member(member).count(topic, { metas: true })]
    this.check(got[0] === Number(keys) && got[1] === Number(metas), [keys, metas], got)
  }

  expect_sees (member, ...words) {
    const expected = Object.fromEntries(words.map(word => word.split('=')))
    return this.expectWhen(async () => {
      const status = Object.fromEntries(this.member(member).members().map(other => [other.name, other.status]))
      const got = Object.fromEntries(Object.keys(expected).map(name => [name, status[name] ?? 'unknown']))
      return [JSON.stringify(got) === JSON.stringify(expected), got]
    }, expected)
  }

  async expect_synced (member, expected) {
    const one = this.member(member)
    const names = { synced: 'yes', alone: 'alone' }
    const got = one.isSynced ? names[await one.synced({ timeout: 0 })] : 'no'
    this.check(got === expected, expected, got)
  }

  async expectAgreed () {
    const texts = new Set()
    for (const member of this.cluster.members) {
      const lists = []
      for (const topic of member.topics().sort()) {
        const items = ofPresences(await member.list(topic)).map(({ prev, ...item }) => item)
        lists.push([topic, items.map((item, index) => [item.key, index, item]).sort((a, b) => a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1]).map(([, , item]) => item)])
      }
      texts.add(JSON.stringify(lists))
    }
    this.check(texts.size <= 1, 'the same everywhere', [...texts])
  }

  expect_diffs (member) {
    this.transcript(this.member(member).diffs)
    this.member(member).diffs.length = 0
  }

  expect_metas (member) {
    this.transcript(this.member(member).metas)
    this.member(member).metas.length = 0
  }

  // Lines of one head are in order.
  transcript (actual) {
    const expected = this.block.map(command => {
      const words = this.fillIn(command.text).split(/\s+/)
      const head = ITEM.test(words[0]) ? '' : words.shift()
      return [head, words.filter(word => word !== 'nobody').map(parse)]
    })
    const of = (lines, head) => lines.filter(line => line[0] === head).map(line => line[1])
    const good = expected.length === actual.length && expected.every(([head]) => {
      const [want, have] = [of(expected, head), of(actual, head)]
      return want.length === have.length && want.every((items, index) => match(items, have[index]))
    })
    this.check(good, this.block.map(command => `\n    ${command.text}`).join('') || 'none', actual.map(line => `\n    ${line[0]} ${show(line[1])}`).join('') || 'none')
  }
}

const show = value => typeof value === 'string' ? value : JSON.stringify(value)

module.exports = { Runner, readScript }
