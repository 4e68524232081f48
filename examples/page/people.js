// How people look: one card for each person and in it one line for each of their tabs. A card that stays keeps its place
// in the document, so that nothing flickers and a reader is not thrown back.

/** An element: attributes as named, `text` is its text, children may be text or nothing. */
export function el (tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'text') element.textContent = value
    else if (value === true) element.setAttribute(name, '')
    else if (value !== undefined && value !== false) element.setAttribute(name, value)
  }
  element.append(...children.filter(child => child !== undefined && child !== ''))
  return element
}

const RANK = ['online', 'busy', 'away']
const known = status => RANK.includes(status) ? status : 'online'
const isTyping = meta => meta.typing === true || meta.status === 'typing'

/** What all tabs of a person say together: online in one is online. */
function summary (metas) {
  const status = RANK.find(rank => metas.some(meta => known(meta.status) === rank))
  const typing = metas.some(isTyping)
  return { status, typing, text: typing ? 'typing…' : status, note: metas.map(meta => meta.note).filter(Boolean).at(-1) ?? '' }
}

function hueOf (name) {
  let hash = 7
  for (const char of name) hash = (hash * 31 + char.codePointAt(0)) % 3600
  return (hash * 137.508) % 360 // names that differ little get colours that differ much
}

function initials (name) {
  const number = /\d{1,2}$/.exec(name)
  if (number) return number[0]
  const words = name.split(/[\s-]+/).filter(Boolean)
  return words.slice(0, 2).map(word => [...word][0]).join('').toUpperCase()
}

export function avatar (name, status) {
  const element = el('span', { class: 'avatar', 'aria-hidden': 'true' }, initials(name))
  element.style.setProperty('--hue', hueOf(name))
  if (status) element.append(el('i', { class: `dot ${status}` }))
  return element
}

function since (start) {
  const minutes = Math.floor((Date.now() - start) / 60_000)
  if (!(minutes >= 1)) return ''
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`
}

/** A member and its language; "Python 3.11" says both of the member "python". */
export function placeName (member, language = '') {
  const same = language.split(' ')[0].toLowerCase() === member.toLowerCase()
  return same ? language : [member, language].filter(Boolean).join(' · ')
}

/** The same in the colour of the language. */
export function where (member, language = '') {
  return el('span', { class: 'where', 'data-language': language.split(' ')[0], text: placeName(member, language) })
}

function tab (meta) {
  const detail = [meta.device, since(meta.since)].filter(Boolean).join(' · ')
  return el('li', {},
    el('i', { class: `dot ${known(meta.status)}` }),
    where(String(meta.member ?? 'somewhere'), String(meta.language ?? '')),
    detail ? el('span', { class: 'detail', text: detail }) : '')
}

function content (key, metas, isMe) {
  const { status, typing, text, note } = summary(metas)
  const several = metas.length > 1 ? ` · ${metas.length} tabs` : ''
  return [
    el('div', { class: 'who' }, avatar(key, status),
      el('div', {},
        el('h3', {}, el('span', { text: key }), isMe ? el('b', { class: 'you', text: 'you' }) : ''),
        el('p', { class: typing ? 'state typing' : 'state', text: text + several }))),
    note ? el('p', { class: 'said', text: note }) : '',
    el('ul', { class: 'tabs', 'aria-label': `Where ${key} is` }, ...metas.map(tab))
  ].filter(Boolean)
}

/** Makes the list show these [key, metas], oneself first. */
export function showPeople (list, people, myName) {
  const cards = new Map([...list.children].filter(card => !card.leaving).map(card => [card.dataset.key, card]))
  const sorted = [...people].sort(([a], [b]) => (b === myName) - (a === myName) || a.localeCompare(b, undefined, { numeric: true }))
  const stay = new Set(people.map(([key]) => key))
  for (const [key, card] of cards) if (!stay.has(key)) leave(card) // first: nobody is moved because of them
  let place = list.firstElementChild
  for (const [key, metas] of sorted) {
    const card = cards.get(key) ?? el('li', { class: 'card', 'data-key': key })
    const state = JSON.stringify([key === myName, metas, metas.map(meta => since(meta.since))])
    if (card.state !== state) {
      card.state = state
      card.replaceChildren(...content(key, metas, key === myName))
      card.classList.toggle('mine', key === myName)
    }
    while (place?.leaving) place = place.nextElementSibling
    if (place === card) place = card.nextElementSibling
    else list.insertBefore(card, place)
  }
}

function leave (card) {
  card.leaving = true
  card.setAttribute('aria-hidden', 'true')
  card.classList.add('leaving')
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) card.remove()
  else setTimeout(() => card.remove(), 240)
}
