/**
 * `node serve.mjs CONFIG`: one server process whose configuration comes as JSON; says `{"event":"ready",…}` in its first
 * line, drains on SIGTERM and exits 0. What `nokv serve` does, without the command line in between.
 */
import { startServer } from '@nokv/server';
import { systemClock, timespecFromMs } from '@nokv/types';

const config = JSON.parse(process.argv[2] ?? '{}');
try {
  const server = await startServer(config, { env: process.env, clock: clockAhead(Number(process.env['NOKV_TEST_HOURS_AHEAD'] ?? 0)) });
  process.once('SIGTERM', () => {
    server.stop().then(
      () => process.exit(0),
      (error) => {
        process.stderr.write(`${error.stack}\n`);
        process.exit(1);
      },
    );
  });
  const { rpc, http, data } = server;
  process.stdout.write(`${JSON.stringify({ event: 'ready', rpc, http, data, pid: process.pid })}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ event: 'failed', code: error.code, message: error.message })}\n`);
  process.exit(1);
}

/** The wall clock some hours ahead, for what comes due later; leases and deadlines, which count monotonic time, notice nothing. */
function clockAhead(hours) {
  const nowMs = () => systemClock.nowMs() + hours * 3600 * 1000;
  return hours === 0 ? systemClock : { ...systemClock, nowMs, now: () => timespecFromMs(nowMs()) };
}
