// The same for import; one implementation, so that both kinds of users share every class.
import libpresence from './index.js'

export const {
  Presence, Owner, PresenceEvent, Change, Member, metrics, version, PresenceError, InvalidArgument,
  InvalidOption, InvalidTopic, InvalidKey, InvalidMeta, InvalidOwner, OwnerClosed, AlreadyTracked,
  NotTracked, StaleRef, LimitExceeded, PresenceTimeout, AddressError, AddressInUse, WrongCluster,
  WrongVersion, AuthFailed, ProtocolError, NameConflict, TrackerClosed, ForkedError, WrongThread,
  WrongState, Unsupported, OutOfMemory, InternalError
} = libpresence
