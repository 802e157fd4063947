/** A server in this process whose days pass when a test says so. */
import { connect, type NokvClient } from '@nokv/client';
import { startServer, type RunningServer } from '@nokv/server';
import { systemClock, timespecFromMs, type Clock } from '@nokv/types';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ServerOnClock {
  /** Temporary; the server's data lies in `data` below it. */
  readonly directory: string;
  readonly server: RunningServer;
  readonly client: NokvClient;
  /** Ends both and removes the directory. */
  close(): Promise<void>;
}

/** The wall clock runs ahead by so much; leases and deadlines, which count monotonic time, notice nothing. */
export function clockAhead(aheadMs: () => number): Clock {
  const nowMs = (): number => systemClock.nowMs() + aheadMs();
  return { ...systemClock, nowMs, now: () => timespecFromMs(nowMs()) };
}

export async function startServerOnClock(name: string, clock: Clock): Promise<ServerOnClock> {
  const directory = await mkdtemp(join(tmpdir(), `nokv-${name}-`));
  const server = await startServer(
    {
      data: join(directory, 'data'),
      listen: '127.0.0.1:0',
      http: '127.0.0.1:0',
      object: undefined,
      control: 'embedded:',
      durability: 'local',
      nodeId: undefined,
      leaseTtlMs: 3000,
      logLevel: 'silent',
    },
    { clock },
  );
  const client = await connect({ address: server.rpc, clock });
  return {
    directory,
    server,
    client,
    async close() {
      await client.close();
      await server.stop(1000);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
