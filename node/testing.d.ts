import { Presence, Options, PresenceTimeout } from './index.js'

/** The members did not come to agree in time; the message says who disagrees about what. */
export class SettleTimeout extends PresenceTimeout {}

type Users = Presence<any, any>

/**
 * Several members in one process, on a virtual network, in virtual time. Nothing real is opened and nothing sleeps:
 * time stands still but in `run`, `settle`, `until` and a member's `synced`, and the same seed gives the same history.
 * When these resolve, callbacks and fetches of what happened are done, and subscriptions hold their events. All
 * durations of the members are virtual too, but for fetchTimeoutMs.
 *
 *     const cluster = new Cluster({ seed: 1 })
 *     const [a, b] = [await cluster.start('a'), await cluster.start('b')]
 *     a.track(owner, 'room', 'u1')
 *     await cluster.settle()
 *     assert.deepEqual(Object.keys(await b.list('room')), ['u1'])
 *     await cluster.close()
 *
 * `listen`, `join` and `advertise` mean what they always mean, within the cluster. A member without `join` joins all
 * that run; a name that is started again gets the address it had. Since 0.1.0.
 */
export class Cluster {
  /** latency: least and most ms of everything sent, [1, 3]. options: the defaults of all members. */
  constructor(options?: { seed?: number | bigint, latency?: [least: number, most: number], options?: Options })
  /** Virtual ms since the cluster was made. */
  get now(): number
  /** Those that run, in the order in which they were added. */
  get members(): Users[]
  /** Makes a member and starts it. */
  start(name?: string, options?: Options): Promise<Presence>
  start<P extends Users>(name: string | undefined, Class: new (options?: Options) => P, options?: Options): Promise<P>
  /** A member made elsewhere, not started yet: when it starts, it starts here. */
  add<P extends Users>(member: P): P

  /**
   * Members of different groups cannot reach each other; those not named are one more group. What is under way waits,
   * dials time out. It replaces an earlier partition; a member started later is among those not named, unless it is a
   * restart.
   */
  partition(...groups: Array<Users | Users[]>): void
  /** Nothing goes from one to the other, nor back unless `both` is false. */
  block(from: Users, to: Users, options?: { both?: boolean }): void
  /** Everybody can reach everybody again. */
  heal(): void
  /** It stands still, as after SIGSTOP: hears nothing and says nothing. Calls on it still work. */
  pause(member: Users): void
  resume(member: Users): void
  /**
   * It ends without a word; calls on it throw TrackerClosed. silent: as when the power fails, so that not even its
   * connections close.
   */
  crash(member: Users, options?: { silent?: boolean }): Promise<void>
  /** It leaves, as by its own `stop`. */
  stop(member: Users): Promise<void>

  /** Lets virtual time pass, in ms. */
  run(duration: number): Promise<void>
  /**
   * Until nothing is under way and every member shows exactly what the live members it can reach track, and calls
   * those, and nobody else, up. SettleTimeout when that does not come true within `limit` ms (120 000) of virtual time.
   */
  settle(options?: { limit?: number }): Promise<void>
  /** Lets time pass until the condition gives something true, which is returned. SettleTimeout after `limit` ms. */
  until<T>(condition: () => T | Promise<T>, options?: { limit?: number }): Promise<T>

  /** Stops all members. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A started member that is alone and opens no socket (transport `memory`); stop it when the test ends. */
export function startAlone(options?: Options): Promise<Presence>
export function startAlone<P extends Presence<any, any>>(options: Options | undefined, Class: new (options?: Options) => P): Promise<P>

/** `count` members of one cluster on loopback, each of which sees all others. */
export function startCluster(count: number, options?: Options): Promise<Presence[]>
export function startCluster<P extends Presence<any, any>>(count: number, options: Options | undefined, Class: new (options?: Options) => P): Promise<P[]>

/** Until `condition` gives something true, which is returned; fails after `timeout` ms (5000). */
export function waitFor<T>(condition: () => T | Promise<T>, options?: { timeout?: number, interval?: number, what?: string }): Promise<T>
