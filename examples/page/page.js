// The page: the official Phoenix client watches every room, and is present in one of them. What is shown is what
// Presence.list() says; nothing else is kept but who we are and which servers there have been.
import { Presence, Socket } from '/phoenix.mjs'
import { avatar, el, placeName, showPeople, where } from '/people.js'

const ROOMS = ['lobby', 'kitchen', 'garden']
const NAMES = ['Ada', 'Barbara', 'Edsger', 'Frances', 'Grace', 'Hedy', 'Joe', 'Katherine', 'Linus', 'Margaret', 'Robert', 'Sophie']
const TYPING_MS = 2000
const IDLE_MS = 60_000
const ASKED_MS = 20_000
const LOG_LINES = 80
const MANY = 3 // as many events of one kind at once are one line of the log

const $ = id => document.getElementById(id)
const stored = {
  get name () { try { return localStorage.getItem('name') } catch { return null } },
  set name (name) { try { localStorage.setItem('name', name) } catch { /* then the next visit is somebody else */ } }
}
const page = new URL(location.href)
const me = {
  name: page.searchParams.get('name')?.trim().slice(0, 40) || stored.name || NAMES[Math.floor(Math.random() * NAMES.length)],
  status: 'online', typing: false, note: '', device: device()
}
const rooms = new Map()
const servers = new Map() // name -> { language, port } of all there have been
const asked = new Map() // name -> when somebody was asked to kill it
let members = new Map() // name -> { status, address }
let self = ''
let current = ROOMS.includes(location.hash.slice(1)) ? location.hash.slice(1) : ROOMS[0]
let connected = false
let idle = false
let lastSaid = ''

// ---- who we are, said to the server ----

function device () {
  const names = ['Android', 'iPhone', 'iPad', 'Firefox', 'Edg', 'Chrome', 'Safari']
  const found = names.find(name => navigator.userAgent.includes(name)) ?? 'Browser'
  return found === 'Edg' ? 'Edge' : found
}

function here () {
  const away = me.status === 'online' && (idle || document.hidden)
  return { ...me, status: away ? 'away' : me.status }
}

/** Tells the room when it is something new; while there is no connection the next join does. */
function say () {
  const text = JSON.stringify([current, here()])
  const { channel } = rooms.get(current)
  if (text === lastSaid || !connected || channel.state !== 'joined') return
  lastSaid = text
  channel.push('here', here()).receive('error', ({ reason }) => note([], `The server did not take that: ${reason}`))
}

function enter (name) {
  if (name === current) return
  const { channel } = rooms.get(current)
  if (channel.state === 'joined') channel.push('gone', {})
  current = name
  history.replaceState(null, '', `#${name}`)
  $('log').replaceChildren()
  say()
  show()
}

// ---- what the servers tell ----

const socket = new Socket('/socket', {
  reconnectAfterMs: tries => [50, 100, 200, 400][tries - 1] ?? 800,
  rejoinAfterMs: tries => [100, 300, 600][tries - 1] ?? 1000
})

function watch (name) {
  const channel = socket.channel(`room:${name}`, () => { // asked at each join, the first and those after a reconnect
    room.told = name === current ? JSON.stringify([name, here()]) : ''
    return room.told ? { here: here() } : {}
  })
  const presence = new Presence(channel)
  const room = { channel, presence, ready: false, told: '' }
  presence.onJoin((key, before, { metas }) => { if (room.ready && name === current) joined(key, before?.metas ?? [], metas) })
  presence.onLeave((key, { metas }, left) => { if (room.ready && name === current) gone(key, metas, left.metas) })
  presence.onSync(() => { room.ready = true; show() })
  channel.join().receive('ok', () => {
    if (name === current) { lastSaid = room.told; say() } else if (room.told) channel.push('gone', {})
  }).receive('error', ({ reason }) => note([], `May not watch ${name}: ${reason}`))
  rooms.set(name, room)
}

function watchServers () {
  const channel = socket.channel('servers', {})
  const presence = new Presence(channel)
  presence.onSync(() => {
    presence.list((name, { metas: [meta] }) => servers.set(name, meta))
    show()
  })
  channel.on('members', takeMembers)
  channel.join().receive('ok', takeMembers)
  return channel
}

const WORDS = { up: 'is up', suspect: 'is silent', down: 'went down' }

function takeMembers (list) {
  self = list.self
  const before = members
  members = new Map(list.members.map(member => [member.name, member]))
  for (const [name, { status }] of members) {
    const old = before.get(name)?.status
    if (old === status || (old === undefined && before.size === 0)) continue
    asked.delete(name)
    const words = status === 'up' && old === 'down' ? 'is back' : WORDS[status] ?? status
    note([], `Server ${name} ${words}`, `server ${status}`)
    $('spoken').textContent = `Server ${name} ${words}`
  }
  show()
}

// ---- the log ----

const pending = []

function joined (key, before, metas) {
  for (const meta of metas) {
    const old = before.find(one => one.phx_ref === meta.phx_ref_prev)
    if (before.some(one => one.phx_ref === meta.phx_ref)) continue
    if (old === undefined) happened(before.length ? 'opened another tab' : 'came', key, meta.member)
    else if (meta.note && meta.note !== old.note) happened(`“${meta.note}”`, key)
    else if (meta.status !== old.status && meta.status !== 'typing' && old.status !== 'typing') happened(`is ${meta.status}`, key)
  }
}

function gone (key, rest, metas) {
  for (const meta of metas) {
    if (rest.some(one => one.phx_ref_prev === meta.phx_ref)) continue // the other half of an update
    happened(rest.length ? 'closed a tab' : 'left', key, meta.member)
  }
}

function happened (what, who, member) {
  if (pending.length === 0) queueMicrotask(flush)
  pending.push({ what, who, member })
}

/** One line for each event, but one for many of a kind: ten people who leave with their server. */
function flush () {
  for (const [, group] of Map.groupBy(pending.splice(0), ({ what, member }) => `${what}\n${member}`)) {
    const { what, member } = group[0]
    const on = member && what.match(/came|left|tab/) ? ` · ${member}` : ''
    const names = [...new Set(group.map(({ who }) => who))]
    if (names.length <= MANY) for (const name of names) note([name], `${what}${on}`)
    else note(names.slice(0, 2), `and ${names.length - 2} more ${what}${on}`)
  }
}

function note (names, text, kind = 'person') {
  const time = new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
  const line = el('li', { class: kind }, el('time', { text: time }), ...names.slice(0, 1).map(name => avatar(name)),
    el('span', {}, ...names.flatMap((name, i) => [i ? ', ' : '', el('b', { text: name })]), ` ${text}`))
  $('log').prepend(line)
  while ($('log').childElementCount > LOG_LINES) $('log').lastElementChild.remove()
}

// ---- what is shown ----

let due = false
function show () {
  if (due) return
  due = true
  requestAnimationFrame(() => { due = false; draw() })
  setTimeout(() => { if (due) { due = false; draw() } }, 250) // a hidden page gets no frames
}

const listOf = name => rooms.get(name).presence.list((key, { metas }) => [key, metas])
const otherPages = () => [...servers].filter(([name]) => name !== self && members.get(name)?.status === 'up')
const urlOf = port => `${location.protocol}//${location.hostname}:${port}/?name=${encodeURIComponent(me.name)}#${current}`

function draw () {
  const people = listOf(current)
  const tabs = people.reduce((sum, [, metas]) => sum + metas.length, 0)
  const count = people.length === 1 ? '1 person' : `${people.length || 'No'} people`
  $('people-title').textContent = `${count} in the ${current}${tabs > people.length ? `, ${tabs} tabs` : ''}`
  document.title = `${people.length} in the ${current} · libpresence`
  showPeople($('people'), people, me.name)
  $('people').classList.toggle('stale', !connected)
  drawRooms()
  drawServers()
  drawConnection()
  const alone = people.find(([key]) => key === me.name)?.[1].length === 1
  $('hint').hidden = !alone
  $('hint').textContent = 'Open this page in a second tab, or on the other server: you stay one person.'
}

function drawRooms () {
  if ($('rooms').childElementCount === 0) {
    for (const name of ROOMS) {
      const button = el('button', { type: 'button', 'data-room': name }, 
        el('span', { text: name }), el('span', { class: 'count' }), el('span', { class: 'unseen', text: ' people' }))
      button.addEventListener('click', () => enter(name))
      $('rooms').append(el('li', {}, button))
    }
  }
  for (const button of $('rooms').querySelectorAll('button')) {
    const { room } = button.dataset
    if (room === current) button.setAttribute('aria-current', 'true')
    else button.removeAttribute('aria-current')
    button.querySelector('.count').textContent = listOf(room).length
  }
}

function drawServers () {
  const tabs = ROOMS.flatMap(listOf).flatMap(([, metas]) => metas)
  for (const name of [...members.keys()].sort()) {
    const { status, address } = members.get(name)
    const { language, port } = servers.get(name) ?? { language: tabs.find(meta => meta.member === name)?.language ?? '' }
    const here = tabs.filter(meta => meta.member === name).length
    const wait = Date.now() - (asked.get(name) ?? 0) < ASKED_MS
    const state = JSON.stringify([status, address, language, port, here, wait, connected, me.name, current])
    const row = [...$('servers').children].find(item => item.dataset.member === name) ?? $('servers').appendChild(el('li', { 'data-member': name }))
    if (row.state === state) continue
    const focused = row.contains(document.activeElement) && document.activeElement.tagName
    row.state = state
    row.className = connected ? status : 'unknown'
    row.replaceChildren(...server(name, { status, address, language, port, here, wait }))
    if (focused) row.querySelector(focused.toLowerCase())?.focus()
  }
  for (const row of [...$('servers').children]) if (!members.has(row.dataset.member)) row.remove()
}

function server (name, { status, address, language, port, here, wait }) {
  const other = name !== self
  const parts = [
    el('div', { class: 'what' },
      el('h3', {}, el('i', { class: `dot ${connected ? status : ''}` }), where(name, language), other ? '' : el('b', { class: 'you', text: 'this page' })),
      el('p', { text: `${connected ? status : `last seen ${status}`} · ${here === 1 ? '1 tab' : `${here} tabs`}`, title: address }))
  ]
  if (!other || !connected) return parts
  const actions = el('div', { class: 'actions' })
  if (port && status === 'up') actions.append(el('a', { href: urlOf(port), target: '_blank', rel: 'noopener' }, 'Open', el('span', { class: 'unseen', text: ` the page of ${name}` })))
  const off = wait || status !== 'up'
  const kill = el('button', { type: 'button', class: 'kill', 'aria-disabled': off ? 'true' : undefined },
    wait ? 'Asked…' : status === 'up' ? 'Kill' : 'Gone', el('span', { class: 'unseen', text: ` ${name}` }))
  kill.addEventListener('click', () => { if (!kill.hasAttribute('aria-disabled')) ask(name) })
  actions.append(kill)
  return [...parts, actions]
}

function ask (name) {
  asked.set(name, Date.now())
  setTimeout(show, ASKED_MS + 50)
  serversChannel.push('kill', { member: name }).receive('error', ({ reason }) => note([], `Not killed: ${reason}`))
  show()
}

function drawConnection () {
  const language = servers.get(self)?.language ?? ''
  $('connection').dataset.state = connected ? 'up' : 'down'
  $('connection-text').textContent = connected ? `on ${placeName(self, language)}` : 'connecting…'
  const lost = !connected && self !== ''
  if (lost === !$('banner').hidden) return
  $('banner').hidden = !lost
  if (!lost) return
  $('banner').replaceChildren(el('strong', { text: `Server ${self} is gone.` }),
    ' You left with it, on every server at once. This page comes back by itself. ',
    ...otherPages().map(([name, { port }]) => el('a', { href: urlOf(port), text: `Go on at ${name}` })))
  $('spoken').textContent = `Server ${self} is gone`
}

// ---- what people do ----

let typingTimer
function type (typing) {
  clearTimeout(typingTimer)
  me.typing = typing
  if (typing) typingTimer = setTimeout(() => type(false), TYPING_MS)
  say()
}

function rename (name) {
  if (!name || name === me.name) return
  me.name = stored.name = name
  say()
  show()
}

let idleTimer
function active () {
  clearTimeout(idleTimer)
  idleTimer = setTimeout(() => { idle = true; say() }, IDLE_MS)
  if (idle) { idle = false; say() }
}

function listen () {
  $('name').value = me.name
  $('name').addEventListener('change', () => rename($('name').value.trim()))
  $('note').addEventListener('input', () => type($('note').value !== ''))
  $('note').addEventListener('blur', () => type(false))
  $('me').addEventListener('change', event => {
    if (event.target.name === 'status') { me.status = event.target.value; say() }
  })
  $('me').addEventListener('submit', event => {
    event.preventDefault()
    rename($('name').value.trim())
    me.note = $('note').value.trim()
    $('note').value = ''
    type(false)
  })
  for (const name of ['pointerdown', 'pointermove', 'keydown', 'scroll']) addEventListener(name, active, { passive: true })
  document.addEventListener('visibilitychange', say)
  addEventListener('hashchange', () => { if (ROOMS.includes(location.hash.slice(1))) enter(location.hash.slice(1)) })
  setInterval(show, 30_000) // "5 min"
}

stored.name = me.name
for (const name of ROOMS) watch(name)
const serversChannel = watchServers()
socket.onOpen(() => { connected = true; show() })
socket.onClose(() => { connected = false; lastSaid = ''; asked.clear(); show() })
listen()
active()
socket.connect()
show()
