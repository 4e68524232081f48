import { Presence, Options } from './index.js'

/** A started member that is alone and opens no socket (transport `memory`); stop it when the test ends. */
export function startAlone(options?: Options): Promise<Presence>
export function startAlone<P extends Presence<any, any>>(options: Options | undefined, Class: new (options?: Options) => P): Promise<P>

/** `count` members of one cluster on loopback, each of which sees all others. */
export function startCluster(count: number, options?: Options): Promise<Presence[]>
export function startCluster<P extends Presence<any, any>>(count: number, options: Options | undefined, Class: new (options?: Options) => P): Promise<P[]>

/** Until `condition` gives something true, which is returned; fails after `timeout` ms (5000). */
export function waitFor<T>(condition: () => T | Promise<T>, options?: { timeout?: number, interval?: number, what?: string }): Promise<T>
