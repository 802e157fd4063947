/**
 * The only file that knows `etcd3`: six calls and nothing else of it. Its elections, its automatic renewals and its
 * `lost` events are not used: time and validity are the caller's business. The library and gRPC are loaded when the
 * first client is opened, so that a process without etcd does not pay for them.
 *
 * Errors: `control-unavailable`; outcome `unknown` for a transaction, grant or revocation whose answer was lost.
 */
import { NokvError, type Clock } from '@nokv/types';
import type { Etcd3 } from 'etcd3';

export interface EtcdClient {
  /** Every key that begins with `prefix`, in key order, from one revision. */
  get(prefix: string): Promise<readonly EtcdEntry[]>;
  /** Applies all puts if every condition holds; tells whether it did. */
  transaction(conditions: readonly EtcdCondition[], puts: readonly EtcdPut[]): Promise<boolean>;
  /** A lease of at least `ttlSec` whole seconds; etcd may grant a longer one. */
  grant(ttlSec: number): Promise<string>;
  /** Renews a lease; false when etcd no longer knows it. */
  keepAlive(lease: string): Promise<boolean>;
  /** Ends a lease with its keys; one that is unknown counts as ended. */
  revoke(lease: string): Promise<void>;
  /** Tells of changes under `prefix`, and when it began (again) to see them. Returns how to stop. */
  watch(prefix: string, listener: (hint: 'watching' | 'changed') => void): () => void;
  close(): void;
}

export interface EtcdEntry {
  readonly key: string;
  readonly value: string;
  /** Changes with every put of the key; never 0. */
  readonly modRevision: string;
}

export interface EtcdCondition {
  readonly key: string;
  /** `0`: the key is absent. */
  readonly modRevision: string;
}

export interface EtcdPut {
  readonly key: string;
  readonly value: string;
  readonly lease?: string;
}

export interface EtcdClientOptions {
  /** `host:port` each. */
  readonly hosts: readonly string[];
  /** Longest wait for one answer. */
  readonly callTimeoutMs: number;
  readonly clock: Clock;
}

export async function openEtcdClient(options: EtcdClientOptions): Promise<EtcdClient> {
  const [{ Etcd3: Client }, { noop }] = await Promise.all([import('etcd3'), import('cockatiel')]);
  const { clock, callTimeoutMs } = options;
  const deadline = (): { deadline: number } => ({ deadline: clock.nowMs() + callTimeoutMs });
  const client: Etcd3 = new Client({
    hosts: options.hosts.map((host) => `http://${host}`),
    // Whoever calls decides whether and when to try again.
    faultHandling: { host: () => noop, global: noop },
    defaultCallOptions: (call) => (call.isStream ? {} : deadline()),
    // gRPC's own back-off grows to two minutes; a lease must be renewed long before.
    grpcOptions: { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 500 },
  });

  async function call<T>(what: string, outcome: 'not-applied' | 'unknown', work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new NokvError(
        'control-unavailable',
        `etcd at ${options.hosts.join(', ')} did not ${what} (${reason}); check that it runs and can be reached`,
        { outcome, cause: error },
      );
    }
  }

  return {
    get: (prefix) =>
      call('answer a read', 'not-applied', async () => {
        const answer = await client.kv.range({
          key: Buffer.from(prefix),
          range_end: Buffer.from(endOfPrefix(prefix)),
        });
        return answer.kvs.map((entry) => ({
          key: entry.key.toString(),
          value: entry.value.toString(),
          modRevision: entry.mod_revision,
        }));
      }),

    transaction: (conditions, puts) =>
      call('answer a transaction', 'unknown', async () => {
        const answer = await client.kv.txn({
          compare: conditions.map((condition) => ({
            key: Buffer.from(condition.key),
            target: 'Mod' as const,
            result: 'Equal' as const,
            mod_revision: condition.modRevision,
          })),
          success: puts.map((put) => ({
            request_put: {
              key: Buffer.from(put.key),
              value: Buffer.from(put.value),
              ...(put.lease === undefined ? {} : { lease: put.lease }),
            },
          })),
          failure: [],
        });
        return answer.succeeded;
      }),

    grant: (ttlSec) => call('grant a lease', 'unknown', async () => (await client.leaseClient.leaseGrant({ TTL: ttlSec })).ID),

    keepAlive: (lease) => call('renew the lease', 'unknown', () => renewOnce(client, lease, deadline())),

    revoke: (lease) =>
      call('revoke the lease', 'unknown', async () => {
        try {
          await client.leaseClient.leaseRevoke({ ID: lease });
        } catch (error) {
          if (!isUnknownLease(error)) throw error;
        }
      }),

    watch(prefix, listener) {
      const watcher = client.watch().prefix(prefix).watcher();
      watcher.on('put', () => listener('changed'));
      watcher.on('delete', () => listener('changed'));
      watcher.on('connected', () => listener('watching'));
      // A watch that etcd cancelled sees nothing any more; whoever waits looks for itself.
      watcher.on('error', () => listener('changed'));
      return () => {
        // A watcher of a dead connection has nothing to cancel at the other end.
        watcher.cancel().catch(() => undefined);
      };
    },

    close() {
      client.close();
    },
  };
}

/** One request and one answer over a stream of its own: etcd offers renewals as a stream only. */
async function renewOnce(client: Etcd3, lease: string, options: { deadline: number }): Promise<boolean> {
  const stream = await client.leaseClient.leaseKeepAlive(options);
  try {
    return await new Promise<boolean>((resolve, reject) => {
      stream.on('data', (answer) => resolve(answer.TTL !== '0'));
      stream.on('error', reject);
      stream.on('end', () => reject(new Error('the stream of renewals ended without an answer')));
      stream.write({ ID: lease });
    });
  } finally {
    stream.end();
  }
}

/** etcd answers NOT_FOUND with this text; the library offers no code for it. */
function isUnknownLease(error: unknown): boolean {
  return error instanceof Error && (error.name === 'EtcdLeaseInvalidError' || error.message.includes('requested lease not found'));
}

/** The first key after all that begin with `prefix`, which ends in ASCII. */
function endOfPrefix(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}
