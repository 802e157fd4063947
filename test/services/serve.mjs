/**
 * `node serve.mjs CONFIG`: one server process whose configuration comes as JSON; says `{"event":"ready",…}` in its first
 * line, drains on SIGTERM and exits 0. What `nokv serve` does, without the command line in between.
 */
import { startServer } from '@nokv/server';

const config = JSON.parse(process.argv[2] ?? '{}');
try {
  const server = await startServer(config, { env: process.env });
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
