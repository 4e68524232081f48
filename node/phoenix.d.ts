// Types of libpresence/phoenix.
import type { Server } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import type { Server as SecureServer } from 'node:https'
import type { Owner, Presence } from './index.js'

/** Thrown by connect, join or event: the client gets an error with this reason (text, or the whole response). */
export class Refuse extends Error {
  constructor (reason?: string | Record<string, unknown>)
  readonly response: Record<string, unknown>
}

/** One joined channel of a client. Its presences belong to `owner`, which closes when the channel ends. */
export interface Socket {
  readonly id: string
  readonly topic: string
  readonly joinRef: string | null
  readonly closed: boolean
  readonly signal: AbortSignal
  readonly owner: Owner
  assigns: Record<string, any>
  track (key: string | number, meta?: object): string
  update (key: string | number, meta: object | ((meta: any) => object), options?: { ifRef?: string }): string
  untrack (key?: string | number): number
  push (event: string, payload: unknown): void
  broadcast (event: string, payload: unknown): void
  broadcastFrom (event: string, payload: unknown): void
}

export interface Channel {
  /** Lets the client in; what it returns is the response. */
  join? (topic: string, params: any, socket: Socket): unknown
  /** One at a time; an object is the reply, undefined means none. A push of an ArrayBuffer has a Buffer as its payload. */
  event? (name: string, payload: any, socket: Socket): unknown
  /** left, closed, replaced, error, shutdown; its presences have left already. */
  leave? (reason: string, socket: Socket): unknown
  /** false: presence_state and presence_diff are not pushed. */
  presence?: boolean
}

export interface Limits {
  connectMs: number
  frameBytes: number
  joins: number
  eventsPerSecond: number
  eventsBurst: number
  idleMs: number
  pendingEvents: number
  sendBytes: number
  closeMs: number
}

export interface EndpointOptions {
  connect? (params: Record<string, string>, headers: IncomingHttpHeaders): unknown
  limits?: Partial<Limits>
  checkOrigin?: boolean | string[]
  log? (line: string, error?: unknown): void
}

export class Endpoint {
  constructor (users: Presence<any, any>, options?: EndpointOptions)
  readonly users: Presence<any, any>
  readonly limits: Readonly<Limits>
  readonly sockets: number
  channel (pattern: string, handlers: Channel): this
  broadcast (topic: string, event: string, payload: unknown, options?: { but?: Socket }): void
  attach (server: Server | SecureServer, options?: { path?: string }): this
  fastify (app: any, options?: { path?: string }): Promise<void>
  close (): Promise<void>
}

export function supabaseChannel (options?: {
  authorize? (topic: string, token: string | undefined, socket: Socket): unknown
}): Channel
