// Finds and loads the addon built for this platform; nothing is compiled or downloaded at install.
'use strict'

const fs = require('node:fs')
const path = require('node:path')

function libc () {
  if (process.platform !== 'linux') return 'none'
  return process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl'
}

/** Reading a report looks up host names unless told not to. */
function libcName () {
  const before = process.report.excludeNetwork
  process.report.excludeNetwork = true
  try {
    return libc()
  } finally {
    process.report.excludeNetwork = before
  }
}

const platform = `${process.platform}-${process.arch}-${libcName()}`
const file = path.join(__dirname, '..', 'prebuilds', platform, 'presence.node')

const build = 'build it in a checkout of libpresence with: cmake -S . -B build -G Ninja -DPRESENCE_NODE=ON && cmake --build build'

function load () {
  if (!fs.existsSync(file)) {
    throw Object.assign(new Error(`libpresence: no addon for ${platform} (${file} is missing); ${build}`), { code: 'MODULE_NOT_FOUND' })
  }
  try {
    return require(file)
  } catch (cause) {
    throw new Error(`libpresence: the addon for ${platform} does not load (${cause.message}); ${build}`, { cause })
  }
}

module.exports = load()
