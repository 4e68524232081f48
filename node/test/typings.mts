// Compiled, never run: the types say what the README says, and refuse what the package refuses.
import { Presence, PresenceError, OwnerClosed, type Diff, type Member, type Presences, type TopicDiff } from 'libpresence'
import { Cluster, SettleTimeout, startAlone, startCluster, waitFor } from 'libpresence/testing'

interface Meta { status: string, tab?: number }
interface Extra { user: { name: string } }

class Users extends Presence<Meta, Extra> {
  rooms = new Map<string, Presences<Meta, Extra>>()

  override async fetch (topic: string, presences: Presences<Meta>, { signal }: { signal: AbortSignal }) {
    signal.throwIfAborted()
    return Object.fromEntries(Object.entries(presences).map(([key, entry]) => [key, { ...entry, user: { name: key + topic } }]))
  }

  override async handleDiff (diff: Diff<Meta, Extra>) {
    for (const [topic, { joins, changes }] of Object.entries(diff)) {
      const name: string | undefined = joins[topic]?.user?.name
      const status: string | undefined = changes[0]?.meta.status
      void [name, status]
    }
  }

  override handleMetas (topic: string, diff: TopicDiff<Meta, Extra>, presences: Presences<Meta, Extra>) { this.rooms.set(topic, presences); void diff }
  override handleMember (member: Member) { if (member.status === 'down') this.rooms.clear() }
}

const users: Users = await Users.start({ name: 'web-2', listen: '127.0.0.1:7947', join: ['127.0.0.1:7946'], cluster: 'chat', heartbeatMs: 500, suspect_ms: 900 })
const how: 'synced' | 'alone' = await users.synced({ timeout: 5000 })
const owner = users.owner({ lease: 1000 })
const ref: string = users.track(owner, 'room:1', 'u2', { status: 'online' })
users.update(owner, 'room:1', 'u2', meta => ({ ...meta, status: 'away' }), { ifRef: ref })
users.track(new AbortController().signal, { topic: 'room:1' }, 7n, { status: 'online' })
const list = await users.list('room:1')
const first: string | undefined = list['u2']?.metas[0]?.phx_ref
const entry = await users.getByKey('room:1', 1)
const user: string | undefined = entry?.user?.name
const counted: number = users.count('room:1', { metas: true }) + users.untrack(owner, 'room:1', 'u2') + users.untrack(owner)
const refs: string[] = users.trackMany(owner, [['room:1', 'u2', { status: 'x' }], ['room:2', 3]])
users.on('diff', diff => diff['room:1']?.joins).on('member', member => member.rttMs).once('error', error => error.code === 'NAME_CONFLICT')
for await (const event of users.subscribe('room:1', { signal: AbortSignal.timeout(1) })) {
  if (event.event === 'presence_state') void event.payload['u2']?.metas
  else void event.payload.joins['u2']?.metas[0]?.status
  const text: string = event.text
  const reason: string | null | undefined = event.changes[0]?.reason
  void [text, reason, event.resync, event.fetched, event.topic]
}
try { owner.close() } catch (error) { if (error instanceof OwnerClosed && error instanceof PresenceError) void [error.code.toLowerCase(), error.option?.length, error.index?.toFixed()] }
{
  using disposed = users.owner()
  await using also = await Presence.start({ fetch: (topic: string) => ({ [topic]: {} }), handleDiff () {}, log: console })
  void [disposed, also]
}
{
  await using virtual = new Cluster({ seed: 1n, latency: [0, 5], options: { heartbeatMs: 500 } })
  const member: Presence = await virtual.start('a', { leaveGraceMs: 0 })
  const typed: Users = await virtual.start('b', Users, { listen: '' })
  const added: Users = virtual.add(new Users())
  virtual.partition([member], [typed, added])
  virtual.block(member, typed, { both: false })
  virtual.heal()
  virtual.pause(typed)
  virtual.resume(typed)
  await virtual.run(1000)
  await virtual.settle({ limit: 1000 }).catch((error: unknown) => error instanceof SettleTimeout && error.code)
  const found: number = await virtual.until(async () => typed.count('room'), { limit: virtual.now })
  await virtual.crash(typed, { silent: true })
  await virtual.stop(virtual.members[0] ?? member)
  void found
}
const plain = await startAlone({ log: (line, { callback }) => console.log(line, callback) })
const cluster: Users[] = await startCluster(2, {}, Users)
const waited: number = await waitFor(() => 1, { timeout: 5 })
await users.ref().unref().stop({ timeout: 1000 })
void [how, first, user, counted, refs, plain, cluster, waited, users.members()[0]?.isSelf, users.stats().resyncs, users.address, users.isSynced]

// @ts-expect-error a meta of another shape
users.track(owner, 'room:1', 'u2', { state: 1 })
// @ts-expect-error a key that is none
users.track(owner, 'room:1', true)
// @ts-expect-error an owner that is none
users.track('owner', 'room:1', 'u2')
// @ts-expect-error no such option
await Presence.start({ nope: true })
// @ts-expect-error a duration is a number
await Presence.start({ heartbeatMs: '1 s' })
// @ts-expect-error owners are made by owner()
void new (users.owner().constructor as typeof import('libpresence').Owner)()
