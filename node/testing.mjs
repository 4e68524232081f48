// The same for import.
import testing from './testing.js'

export const { Cluster, SettleTimeout, startAlone, startCluster, waitFor } = testing
