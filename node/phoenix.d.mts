export * from './phoenix.js'
