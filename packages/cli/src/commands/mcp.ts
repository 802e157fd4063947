import { formatName } from '@nokv/types';
import type { CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { remotePath } from '../remote-path.js';
import type { questionCommands } from '../table/question-commands.js';
import { VERSION } from '../version.js';

/** Standard output belongs to the protocol; it ends when the agent closes standard input. */
export async function mcp(call: CallOf<typeof questionCommands.mcp>): Promise<void> {
  const { io, output, signal } = call;
  const root = formatName(remotePath(call.flags.root ?? '/'));
  const [{ serveMcp }, { wirePlane }] = await Promise.all([import('@nokv/mcp'), import('@nokv/client')]);
  await using client = await connectClient(call);
  const service = await serveMcp({
    plane: wirePlane(client),
    clock: io.clock,
    input: io.stdin,
    output: io.stdout,
    root,
    version: VERSION,
    onError: (error) => output.detail(`nokv: mcp: ${error.message}`),
  });
  const stop = () => void service.close();
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  await service.closed;
}
