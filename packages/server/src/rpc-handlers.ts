/** The RPC listener's handlers: each operation goes to the service, with what the call says of itself. */
import type { ServerInfo } from '@nokv/protocol';
import type { Clock, MutationOperation, ReadOperation } from '@nokv/types';
import type { MutationCall, ReadCall, RpcHandlers } from './rpc/handlers.js';
import type { ServedMutateContext, Service } from './service.js';

export function rpcHandlers(service: Service, clock: Clock, info: () => ServerInfo): RpcHandlers {
  const read =
    <Op extends ReadOperation>(operation: Op) =>
    (args: Parameters<Service['read']>[1], call: ReadCall) =>
      service.read(operation, args as never, { visible: call.visible, caller: call.caller });
  const mutate =
    <Op extends MutationOperation>(operation: Op) =>
    (args: Parameters<Service['mutate']>[1], call: MutationCall) =>
      service.mutate(operation, args as never, contextOf(call));
  const contextOf = (call: MutationCall): ServedMutateContext => new WireMutateContext(call, call.attemptAgeMs);
  return {
    stat: read('stat'),
    lookup: read('lookup'),
    getattr: read('getattr'),
    list: read('list'),
    readlink: read('readlink'),
    'path-of': read('path-of'),
    'xattr-get': read('xattr-get'),
    'xattr-list': read('xattr-list'),
    'open-read': read('open-read'),
    statfs: read('statfs'),
    changes: read('changes'),
    pins: read('pins'),
    pin: read('pin'),
    log: read('log'),
    'retention-get': read('retention-get'),
    'prune-plan': read('prune-plan'),
    'version-at': read('version-at'),
    'stat-many': read('stat-many'),
    'read-many': read('read-many'),
    'find-body': read('find-body'),
    'path-changes': read('path-changes'),
    'test-lock': read('test-lock'),
    'list-locks': read('list-locks'),
    'list-sessions': read('list-sessions'),
    mkdir: mutate('mkdir'),
    create: mutate('create'),
    symlink: mutate('symlink'),
    link: mutate('link'),
    unlink: mutate('unlink'),
    rmdir: mutate('rmdir'),
    'remove-tree': mutate('remove-tree'),
    rename: mutate('rename'),
    setattr: mutate('setattr'),
    'xattr-set': mutate('xattr-set'),
    'xattr-remove': mutate('xattr-remove'),
    'begin-upload': mutate('begin-upload'),
    'renew-upload': mutate('renew-upload'),
    'end-upload': mutate('end-upload'),
    publish: mutate('publish'),
    'begin-tree': mutate('begin-tree'),
    'publish-tree': mutate('publish-tree'),
    'snapshot-create': mutate('snapshot-create'),
    'snapshot-renew': mutate('snapshot-renew'),
    'snapshot-retire': mutate('snapshot-retire'),
    'tag-set': mutate('tag-set'),
    'tag-remove': mutate('tag-remove'),
    clone: mutate('clone'),
    rollback: mutate('rollback'),
    revert: mutate('revert'),
    undelete: mutate('undelete'),
    prune: mutate('prune'),
    'retention-set': mutate('retention-set'),
    merge: mutate('merge'),
    transact: mutate('transact'),
    batch: async ({ items }, call) => ({ answers: await service.mutateMany(items, contextOf(call)) }),
    'open-session': mutate('open-session'),
    'renew-session': mutate('renew-session'),
    'close-session': mutate('close-session'),
    lock: mutate('lock'),
    unlock: mutate('unlock'),
    'open-handle': mutate('open-handle'),
    'close-handle': mutate('close-handle'),
    // Every door is bound to this machine alone.
    access: () => service.access({ isLocal: true }),
    'presign-puts': (args) => service.presigning.puts(args),
    'presign-gets': (args) => service.presigning.gets(args),
    'server-info': info,
    watch: (args, call) => service.watch({ since: args.since, signal: call.signal }),
    // Left early, the stream returns the iterator, which ends the engine's work.
    diff: (args) => service.diff(args),
    'lock-wait': (args, call) => service.waitForLock(args, call.signal),
    'watch-path': (args, call) => service.watchPath(args, call.signal),
    backup: (args, call) => service.backup(args, call.signal),
    fsck: (args, call) => service.fsck(args, call.signal),
    'shard-figures': (args) => service.figures(args),
    collect: (args, call) => service.collect(args, call.signal),
  };
}

/** Made for every mutation: a class, since an object with a getter of its own costs more than the rest of the handler. */
class WireMutateContext implements ServedMutateContext {
  readonly requestId: MutationCall['requestId'];
  readonly actor: string;
  readonly acknowledgement: MutationCall['acknowledgement'];
  readonly attemptAgeMs: number;
  readonly caller: MutationCall['caller'];
  readonly #call: MutationCall;

  constructor(call: MutationCall, attemptAgeMs: number) {
    this.requestId = call.requestId;
    this.actor = call.actor;
    this.acknowledgement = call.acknowledgement;
    this.attemptAgeMs = attemptAgeMs;
    this.caller = call.caller;
    this.#call = call;
  }

  /** Making a signal costs more than most mutations; only a publish that looks at blocks asks for it. */
  get signal(): AbortSignal {
    return this.#call.signal;
  }
}
