// The same for import.
import phoenix from './phoenix.js'

export const { Endpoint, Refuse, supabaseChannel } = phoenix
