/** `serve`: one server in this process, until it is told to stop. */
import type { RunningServer } from '@nokv/server';
import { LOOPBACK, NokvError, RPC_PORT_DEFAULT } from '@nokv/types';
import type { CallOf } from '../command.js';
import { storeEnv } from '../connection.js';
import { serverCache } from '../cache-settings.js';
import { checkProcessLimits } from '../process-limits.js';
import type { serverCommands } from '../table/server-commands.js';
import { VERSION } from '../version.js';
import { maskSecrets } from './config-show.js';

type Serve = CallOf<typeof serverCommands.serve>;

/** What is in flight may take this long after the first Ctrl-C. */
const DRAIN_MS = 10_000;

export async function serve(call: Serve): Promise<void> {
  const { io, output, signal } = call;
  const settings = call.settings.with(call.flags);
  checkProcessLimits();
  const { startServer } = await import('@nokv/server');
  const server = await startServer(
    {
      data: settings.must('data'),
      listen: settings.must('listen'),
      http: settings.must('http'),
      object: settings.get('object'),
      control: settings.must('control'),
      durability: settings.must('durability'),
      nodeId: settings.get('nodeId'),
      leaseTtlMs: settings.must('leaseTtl'),
      orphanGraceMs: settings.must('orphanGrace'),
      changeWindow: {
        ms: settings.must('changeWindow'),
        bytes: settings.must('changeWindowBytes'),
        versions: settings.must('changeWindowVersions'),
      },
      logLevel: settings.must('logLevel'),
      cache: serverCache({ settings, io }),
    },
    { clock: io.clock, random: io.random, env: storeEnv(call) },
  );
  try {
    const { rpc, http, data } = server;
    await output.result(
      { event: 'ready', rpc, http, data, pid: io.pid, version: VERSION, state: server.isServing() ? 'serving' : 'standby' },
      greeting(call, server),
    );
    await output.flush();
    await untilStopped(server, signal);
    output.note('nokv: serve: finishing what is in flight; Ctrl-C again stops at once');
  } finally {
    await server.stop(DRAIN_MS);
  }
}

async function untilStopped(server: RunningServer, signal: AbortSignal): Promise<void> {
  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const failure = await Promise.race([stopped, server.failed]);
  if (failure === undefined) return;
  throw failure instanceof NokvError ? failure : new NokvError('internal', `the server stopped: ${failure.message}`, { cause: failure });
}

function greeting({ io }: Serve, server: RunningServer): string {
  const { rpc, http, data, objectStore, control } = server;
  const nokv = (io.env.npm_execpath ?? '') === '' ? 'nokv' : 'npx nokv';
  const flag = rpc === `${LOOPBACK}:${RPC_PORT_DEFAULT}` ? '' : ` --server ${rpc}`;
  return [
    `nokv ${VERSION} ${server.isServing() ? 'is serving' : 'stands by: another node serves, and this one takes over when it is gone'}`,
    `  data      ${data}`,
    `  bodies    ${maskSecrets(objectStore)}`,
    `  control   ${maskSecrets(control)}`,
    `  rpc       ${rpc}`,
    `  http      ${http.startsWith('unix:') ? http : `http://${http}`} (/healthz, /readyz, /metrics)`,
    '',
    'Next, in another terminal:',
    `  ${nokv} put-artifact /runs/1 ./some-directory${flag}`,
    `  ${nokv} mount ./mnt${flag}`,
    `  ${nokv} mcp${flag}`,
    '',
    'Ctrl-C stops it.',
  ].join('\n');
}
