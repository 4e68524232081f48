// Types of the package. Names and meanings: docs/guarantees.md and the README.
import { EventEmitter } from 'node:events'
import { PresenceError } from './lib/errors.js'

export * from './lib/errors.js'

/** Version of the native library. */
export const version: string
/** Counters, members, round trips and lags in Prometheus' text format 0.0.4 (`text/plain; version=0.0.4`): of the members
 * given, else of all that are open in this thread; those that have stopped are left out. Names: docs/operations.md. */
export function metrics(...members: Presence<any, any>[]): string

/** A meta as it is given back: your object with the refs of this version and, if this member has shown it, the one before. */
export type Tracked<Meta extends object> = Meta & { phx_ref: string, phx_ref_prev?: string }

/** All metas of one key, in the same order on every member, and what `fetch` added. */
export type Entry<Meta extends object, Extra extends object = {}> = { metas: Array<Tracked<Meta>> } & Extra

export type Presences<Meta extends object, Extra extends object = {}> = Record<string, Entry<Meta, Partial<Extra>>>

/** A diff of one topic in the shape of Phoenix; an update is in both. What is beside that is not enumerable. */
export interface TopicDiff<Meta extends object, Extra extends object = {}> {
  joins: Presences<Meta, Extra>
  leaves: Presences<Meta, Extra>
  readonly changes: ReadonlyArray<Change<Meta>>
  /** False when `fetch` failed or took too long: what it adds is missing. */
  readonly fetched: boolean
}

export type Diff<Meta extends object, Extra extends object = {}> = Record<string, TopicDiff<Meta, Extra>>

export type Reason = 'untrack' | 'owner_closed' | 'lease' | 'member_left' | 'member_down' | 'replaced' | 'unknown'

/** One typed event of a diff. */
export class Change<Meta extends object = Record<string, unknown>> {
  private constructor()
  kind: 'join' | 'update' | 'leave'
  topic: string
  key: string
  meta: Meta
  prev_meta: Meta | null
  ref: string
  prev_ref: string | null
  /** Name of the member it belongs to. */
  member: string
  /** Of a leave. */
  reason: Reason | null
  /** This join put the key online. */
  first: boolean
  /** This leave took the key offline. */
  last: boolean
  get prevMeta(): Meta | null
  get prevRef(): string | null
}

export interface StateEvent<Meta extends object = Record<string, unknown>, Extra extends object = {}> extends PresenceEvent<Meta, Extra> {
  event: 'presence_state'
  readonly payload: Presences<Meta, Extra>
}

export interface DiffEvent<Meta extends object = Record<string, unknown>, Extra extends object = {}> extends PresenceEvent<Meta, Extra> {
  event: 'presence_diff'
  readonly payload: TopicDiff<Meta, Extra>
}

/** What a subscription gives. It is shared by all consumers of the topic: do not change it. */
export class PresenceEvent<Meta extends object = Record<string, unknown>, Extra extends object = {}> {
  private constructor()
  topic: string
  event: 'presence_state' | 'presence_diff'
  readonly payload: Presences<Meta, Extra> | TopicDiff<Meta, Extra>
  /** The payload as JSON, made once per event. */
  readonly text: string
  /** Of a diff; empty for a state. */
  readonly changes: ReadonlyArray<Change<Meta>>
  /** This state stands for diffs that were dropped because this consumer was slow. */
  resync: boolean
  /** False when `fetch` failed or took too long: what it adds is missing. */
  fetched: boolean
  toJSON(): { topic: string, event: string, payload: unknown }
}

export interface Subscription<Meta extends object, Extra extends object> extends AsyncIterableIterator<StateEvent<Meta, Extra> | DiffEvent<Meta, Extra>> {
  readonly topic: string
  /** Ends it; a waiting `next` is done. */
  close(): Promise<unknown>
  [Symbol.asyncDispose](): Promise<void>
}

export class Member {
  private constructor()
  name: string
  /** 16 hexadecimal digits, new at each start. */
  id: string
  /** host:port; empty: it only dials. */
  address: string
  incarnation: number
  status: 'up' | 'suspect' | 'down' | 'permdown' | 'left' | 'conflict'
  synced: boolean
  isSelf: boolean
  /** null: not measured */
  rttMs: number | null
  /** How many presences it has. */
  entries: number
  observer: boolean
  linked: boolean
  /** Changes of it that are known of and not here yet. */
  lag: number
  /** Of a member event: closed, refused, silence, leave, replaced, … */
  reason: string | null
  get is_self(): boolean
  get rtt_ms(): number | null
}

/** What presences belong to; when it closes, all its presences leave. Made by `presence.owner()`. */
export class Owner<Meta extends object = Record<string, unknown>> {
  private constructor()
  readonly closed: boolean
  track(topic: Topic, key: Key, meta?: Meta): string
  update(topic: Topic, key: Key, meta: Meta | ((meta: Meta) => Meta), options?: UpdateOptions): string
  untrack(topic: Topic, key: Key): number
  untrack(): number
  /** Puts off the end of a lease. */
  touch(): void
  close(): void
  [Symbol.dispose](): void
  [Symbol.asyncDispose](): Promise<void>
}

/** Text, or an object that carries it. */
export type Topic = string | { readonly topic: string }
/** Made text in every call: 1 and '1' are one key. */
export type Key = string | number | bigint
/**
 * `users.owner()`; an AbortSignal; an emitter or event target of `close` (WebSocket, socket, response); any other object
 * leaves when it is collected.
 */
export type OwnerLike = object

export interface UpdateOptions {
  /** Only if this is still the current ref; else StaleRef. */
  ifRef?: string
}

export interface WaitOptions {
  /** ms */
  timeout?: number
  signal?: AbortSignal
}

export interface Hooks {
  fetch?(topic: string, presences: any, options: { signal: AbortSignal }): any
  handleDiff?(diff: any): unknown
  handleMetas?(topic: string, diff: any, presences: any): unknown
  handleMember?(member: Member): unknown
  handleResync?(topic: string, presences: any): unknown
}

export type Log = ((line: string, details: { callback?: string, topic?: string, error?: unknown, level?: string }) => void) |
  { warn(line: string, details?: object): void }

/** Durations are ms. Every option may also be written as in the table of the library: heartbeat_ms for heartbeatMs. */
export interface Options extends Hooks {
  /** Unique among live members; default <hostname>-<pid>-<6 random characters>. */
  name?: string
  cluster?: string
  /** host:port, a range of ports, or '' to dial only. */
  listen?: string
  advertise?: string | string[]
  join?: string | string[]
  /** between two look-ups of the names in join; all addresses of a name are dialled */
  resolveMs?: number
  transport?: 'mesh' | 'memory' | 'nats'
  heartbeatMs?: number
  suspectMs?: number
  graceMs?: number
  permdownMs?: number
  connectTimeoutMs?: number
  leaveGraceMs?: number
  flushMs?: number
  /** how frames over 4 KiB are sent; default lz4 */
  compression?: 'off' | 'lz4' | 'zstd'
  queueBytes?: number
  callbackQueue?: number
  fetchTimeoutMs?: number
  fetchBatch?: number
  fetchConcurrency?: number
  keyBytes?: number
  topicBytes?: number
  /** Quotas of local track; 0, the default: any number. */
  memberEntries?: number
  topicEntries?: number
  keyMetas?: number
  metaBytes?: number
  logLevel?: 'error' | 'warning' | 'info' | 'debug'
  /** 16 to 256 bytes; several while one replaces another: the first to dial with, all are accepted. */
  secret?: string | string[]
  secretFile?: string
  /** PEM files, all three of them. */
  tlsCert?: string
  tlsKey?: string
  tlsCa?: string
  /** DNS name every certificate must hold; default: host or address of the other end. */
  tlsName?: string
  insecure?: boolean
  natsUrl?: string
  /** Reads LIBPRESENCE_<OPTION> of the environment first. */
  env?: boolean
  /** Where errors of callbacks, and lines of the library, go; default: process.emitWarning, errors only. */
  log?: Log
  [tableName: `${string}_${string}`]: string | number | bigint | boolean | string[] | undefined
}

export interface Statistics {
  entries: number
  topics: number
  members: number
  links: number
  joins: number
  updates: number
  leaves: number
  framesIn: number
  framesOut: number
  bytesIn: number
  bytesOut: number
  segmentsApplied: number
  livesApplied: number
  gaps: number
  framesStale: number
  framesDropped: number
  protocolErrors: number
  dials: number
  dialFailures: number
  queueBytes: number
  queueEvents: number
  resyncs: number
  bytesSaved: number
}

/**
 * One member of a presence cluster. `Meta`: what is tracked; `Extra`: what `fetch` adds to each key.
 *
 *     class Users extends Presence<{ status: string }, { user: User }> { … }
 *     const users = await Users.start({ name: 'web-1' })
 */
export class Presence<Meta extends object = Record<string, unknown>, Extra extends object = {}> extends EventEmitter {
  /** Only checks the options; `start` opens. */
  constructor(options?: Options)
  static start<This extends new (options?: Options) => Presence<any, any>>(this: This, options?: Options): Promise<InstanceType<This>>
  /** It is a member until `stop()` or the end of the process, as a server listens: also when nothing refers to it. */
  start(): Promise<this>
  /** Tells the others, waits at most `timeout` ms (5000) for that. Stopping again, or before start, does nothing. */
  stop(options?: { timeout?: number }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
  /** An open tracker does not keep the process alive unless ref() was called. */
  ref(): this
  unref(): this

  /** May be defined by a subclass: enriches a state or one side of a diff, all keys in one call. */
  fetch(topic: string, presences: Presences<Meta, {}>, options: { signal: AbortSignal }): FetchResult<Extra> | Promise<FetchResult<Extra>>
  handleDiff(diff: Diff<Meta, Extra>): unknown
  handleMetas(topic: string, diff: TopicDiff<Meta, Extra>, presences: Presences<Meta, Extra>): unknown
  handleMember(member: Member): unknown
  /** When diffs were dropped: what the topic is now. Without it the difference comes as a diff. */
  handleResync(topic: string, presences: Presences<Meta, Extra>): unknown

  /** host:port, also with port 0. */
  get address(): string
  get isSynced(): boolean
  /** 'alone': no seed could be reached. */
  synced(options?: WaitOptions): Promise<'synced' | 'alone'>
  /** Until queued diffs, running fetches and callbacks are done; inside a callback: but for the callbacks. */
  settle(options?: WaitOptions): Promise<void>

  /** lease: ms after which it closes unless touched. */
  owner(options?: { lease?: number }): Owner<Meta>
  /** The ref of the new presence. */
  track(owner: OwnerLike, topic: Topic, key: Key, meta?: Meta): string
  /** All or nothing; the error has the `index` of the first bad item. */
  trackMany(owner: OwnerLike, items: Iterable<[topic: Topic, key: Key, meta?: Meta]>): string[]
  update(owner: OwnerLike, topic: Topic, key: Key, meta: Meta | ((meta: Meta) => Meta), options?: UpdateOptions): string
  /** How many were removed. */
  untrack(owner: OwnerLike, topic: Topic, key: Key): number
  untrack(owner: OwnerLike): number

  list(topic: Topic): Promise<Presences<Meta, Extra>>
  getByKey(topic: Topic, key: Key): Promise<Entry<Meta, Partial<Extra>> | null>
  count(topic: Topic, options?: { metas?: boolean }): number
  topics(): string[]
  /** Dials these from now on, as those of the option join: host:port, names and ranges too. One that is there stays. */
  addSeed(addresses: string | string[]): void
  /** Dials these no longer; links that exist stay. How many of them were seeds. */
  removeSeed(addresses: string | string[]): number
  /** Oneself first; all: also observers, which are no members. */
  members(options?: { all?: boolean }): Member[]
  stats(): Statistics
  /** Exactly one presence_state first, then every later presence_diff. */
  subscribe(topic: Topic, options?: { signal?: AbortSignal }): Subscription<Meta, Extra>

  on(event: 'diff', listener: (diff: Diff<Meta, Extra>) => void): this
  on(event: 'resync', listener: (topic: string, presences: Presences<Meta, Extra>) => void): this
  on(event: 'member', listener: (member: Member) => void): this
  on(event: 'error', listener: (error: PresenceError) => void): this
  on(event: string | symbol, listener: (...args: any[]) => void): this
  once(event: 'diff', listener: (diff: Diff<Meta, Extra>) => void): this
  once(event: 'resync', listener: (topic: string, presences: Presences<Meta, Extra>) => void): this
  once(event: 'member', listener: (member: Member) => void): this
  once(event: 'error', listener: (error: PresenceError) => void): this
  once(event: string | symbol, listener: (...args: any[]) => void): this
}

/** Per key what is added to it; keys that are missing stay as they are, `metas` in it is ignored. */
export type FetchResult<Extra extends object> =
  | Record<string, Extra & { metas?: unknown }>
  | Map<string, Extra>
