// Four workers from one configuration under Node's cluster module.
//
//     workers.mjs cluster RANGE     prints one JSON line per request line: "list", "pids"; ends with its stdin
import cluster from 'node:cluster'
import readline from 'node:readline'
import { Presence } from '../../node/index.mjs'

const range = process.argv[3]

if (cluster.isPrimary) {
  const workers = Array.from({ length: 4 }, () => cluster.fork())
  const ask = worker => new Promise(resolve => {
    if (!worker.isConnected()) return resolve(null)
    worker.once('message', resolve)
    worker.once('disconnect', () => resolve(null))
    worker.send('list', problem => problem && resolve(null)) // killed a moment ago, not yet seen to be
  })
  await Promise.all(workers.map(worker => new Promise(resolve => worker.once('message', resolve)))) // they listen
  const lines = readline.createInterface({ input: process.stdin })
  lines.on('line', async line => {
    const answer = line === 'pids' ? workers.map(w => w.process.pid) : await Promise.all(workers.map(ask))
    console.log(JSON.stringify(answer))
  })
  lines.on('close', () => { for (const worker of workers) worker.kill() })
} else {
  const users = await Presence.start({ cluster: 'workers', listen: range, join: [range], heartbeatMs: 200 })
  process.on('message', async () => process.send(Object.keys(await users.list('room')).sort()))
  users.track(users.owner(), 'room', String(process.pid))
  process.send('listening')
}
