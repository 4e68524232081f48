// libpresence/phoenix: serves the official `phoenix` JavaScript clients. Since 0.2.
'use strict'

const { Endpoint } = require('./lib/phoenix/endpoint.js')
const { Refuse } = require('./lib/phoenix/refuse.js')
const { supabaseChannel } = require('./lib/phoenix/supabase.js')

module.exports = { Endpoint, Refuse, supabaseChannel }
