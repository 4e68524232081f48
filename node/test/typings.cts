// Compiled, never run: the same for require.
import libpresence = require('libpresence')
import testing = require('libpresence/testing')
import phoenix = require('libpresence/phoenix')

async function main (): Promise<void> {
  const users = new libpresence.Presence<{ n: number }>({ transport: 'memory' })
  await users.start()
  const n: number | undefined = (await users.list('room'))['u1']?.metas[0]?.n
  await testing.waitFor(() => users.isSynced)
  await new phoenix.Endpoint(users).close()
  await users.stop()
  void [n, libpresence.version, libpresence.PresenceError]
}
void main
