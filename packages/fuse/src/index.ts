export { startMount } from './life/start-mount.js';
export type { MountOptions, RunningMount, SessionKind } from './life/mount-options.js';
export { spawnMountDaemon, type DaemonOptions, type MountDaemon } from './life/mount-daemon.js';
export { drainDirectory, unmountDirectory, type UnmountOptions } from './life/unmount-directory.js';
export { defaultRunDirectory, listMounts, type ListedMount, type MountRecord } from './life/mount-registry.js';
