/** Serial latency and pipelined rate of the smallest useful call, beside a bare echo of the same runtime. */
import { connect } from '@nokv/client';
import { parsePath } from '@nokv/types';
import { join } from 'node:path';
import { startServer } from './child.js';
import { drive } from './drive.js';
import { median, rounds, type Bench } from './figure.js';
import { EchoFloor } from './floors/echo.js';

export const rpcBench: Bench = {
  name: 'rpc',
  about: 'stat over the wire at 1, 64 and 256 in flight',
  async run(context) {
    const server = await startServer(join(context.directory, 'rpc'));
    const sleeping = await EchoFloor.start(false);
    const polling = await EchoFloor.start(true);
    const client = await connect(server.rpc);
    try {
      const parent = parsePath('/bench');
      await client.metadata.mutate('mkdir', { entry: { path: parent }, mode: 0o755, uid: 0, gid: 0 });
      const node = { path: parsePath('/bench/file') };
      await client.metadata.mutate('create', { entry: node, mode: 0o644, type: 'file', exclusive: true, uid: 0, gid: 0 });
      const stat = () => client.metadata.read('stat', { node });
      const durationMs = context.quick ? 300 : 1000;
      for (const depth of [1, 64, 256]) {
        const runs = {
          stat: [] as number[],
          echo: [] as number[],
          statP50: [] as number[],
          echoP50: [] as number[],
          pollP50: [] as number[],
        };
        for (let round = 0; round < rounds(context); round++) {
          const echo = await drive(sleeping.call, depth, durationMs / 2);
          const poll = await drive(polling.call, depth, durationMs / 2);
          const ours = await drive(stat, depth, durationMs);
          runs.echo.push(echo.perSecond);
          runs.echoP50.push(echo.p50Us);
          runs.pollP50.push(poll.p50Us);
          runs.stat.push(ours.perSecond);
          runs.statP50.push(ours.p50Us);
        }
        const [value, floor] = [median(runs.stat), median(runs.echo)];
        const conditions = { depth, rounds: rounds(context), durationMs, transport: 'tcp loopback' };
        context.report({
          bench: 'rpc',
          case: `stat-depth-${depth}`,
          value,
          unit: 'op/s',
          floor,
          floorName: 'echo',
          ratio: value / floor,
          conditions,
        });
        if (depth === 1) {
          const [p50, echoP50, pollP50] = [median(runs.statP50), median(runs.echoP50), median(runs.pollP50)];
          context.report({
            bench: 'rpc',
            case: 'stat-p50',
            value: p50,
            unit: 'us',
            floor: echoP50,
            floorName: 'echo',
            ratio: echoP50 / p50,
            conditions,
          });
          context.report({
            bench: 'rpc',
            case: 'stat-p50-polled',
            value: p50,
            unit: 'us',
            floor: pollP50,
            floorName: 'echo, server polling',
            ratio: pollP50 / p50,
            conditions,
          });
        }
      }
    } finally {
      await client.close();
      await Promise.all([server.stop(), sleeping.stop(), polling.stop()]);
    }
  },
};
