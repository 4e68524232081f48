// Options: ours are functions, all others go to the one table of the library by name, in camel case or with underscores.
'use strict'

const native = require('./native.js')
const { InvalidOption } = require('./errors.js').classes
const { describe } = require('./values.js')

const HOOKS = ['fetch', 'handleDiff', 'handleMetas', 'handleMember', 'handleResync']

function refused (name, why) {
  return Object.assign(new InvalidOption(`option ${name} ${why}`), { option: name })
}

/** The library's text begins with the option it is about, if any. */
function optionOf (message) {
  const option = /^(?:LIBPRESENCE_\w+: )?(?:unknown )?option "?([^\s":]+)/.exec(message)?.[1]
  return option === undefined ? {} : { option }
}

function tableName (name) {
  return name.replace(/[A-Z]/g, c => '_' + c.toLowerCase())
}

function optionText (name, value) {
  if (Array.isArray(value) && value.every(part => typeof part === 'string')) {
    if (value.some(part => part.includes(','))) throw refused(name, 'has a comma in an item of the list: it separates items')
    return value.join(',')
  }
  if (typeof value === 'string') {
    if (!value.isWellFormed() || value.includes('\0')) throw refused(name, 'is no UTF-8 text')
    return value
  }
  if (typeof value === 'boolean') return value ? '1' : '0'
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value)
  throw refused(name, `cannot be ${describe(value)}`)
}

function checkOwn (name, value) {
  if (HOOKS.includes(name)) {
    if (typeof value !== 'function') throw refused(name, `must be a function, not ${describe(value)}`)
  } else if (name === 'log') {
    if (typeof value !== 'function' && typeof value?.warn !== 'function') {
      throw refused(name, `must be a function or have a method warn, not ${describe(value)}`)
    }
  } else if (name === 'env') {
    if (typeof value !== 'boolean') throw refused(name, `must be true or false, not ${describe(value)}`)
  } else {
    return false
  }
  return true
}

function standards () {
  const flat = native.options()
  const values = new Map()
  for (let i = 0; i < flat.length; i += 3) values.set(flat[i], flat[i + 1])
  return values
}

/** { pairs for the library, ours, number(name) } */
function readOptions (options = {}) {
  if (options === null || typeof options !== 'object') throw new InvalidOption(`options must be an object, not ${describe(options)}`)
  const ours = {}
  const given = new Map()
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue
    if (checkOwn(name, value)) {
      ours[name] = value
      continue
    }
    if (given.has(tableName(name))) throw refused(name, 'is given twice')
    given.set(tableName(name), optionText(name, value))
  }
  const known = standards()
  const number = name => {
    const environment = ours.env ? process.env[`LIBPRESENCE_${name.toUpperCase()}`] : undefined
    return Number(given.get(name) ?? environment ?? known.get(name))
  }
  return { pairs: [...given].flat(), ours, number }
}

module.exports = { readOptions, optionOf, optionText, HOOKS }
