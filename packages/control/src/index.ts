export type { Acquisition, Coordinator, NodeIdentity, Ownership, ShardRecord } from './coordinator.js';
export { embeddedCoordinator, type EmbeddedRecord, type EmbeddedRecords } from './embedded-coordinator.js';
export { ETCD_LEASE_TTL_MS_MIN, etcdCoordinator, type EtcdCoordinatorOptions } from './etcd-coordinator.js';
export { parseControlAddress, type ControlAddress } from './control-address.js';
export { holdLease, leaseMarginMs, renewalPeriodMs, type HeldLease, type LeaseOptions } from './lease.js';
export {
  INITIAL_OWNERSHIP,
  servesIn,
  stepOwnership,
  type OwnershipEvent,
  type OwnershipState,
  type OwnershipStep,
  type OwnershipWork,
} from './ownership-machine.js';
