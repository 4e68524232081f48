// The same for import.
import testing from './testing.js'

export const { startAlone, startCluster, waitFor } = testing
