/**
 * The process behind a background mount. Standard input: the options as JSON. Standard output: one line when the mount answers or
 * failed. Standard error: the log. SIGTERM and SIGINT drain and unmount; a mount that is busy then is detached.
 */
import { readFileSync, writeSync } from 'node:fs';
import { systemClock, toNokvError } from '@nokv/types';
import type { DaemonAnswer, DaemonOptions } from './mount-daemon.js';
import { startMount } from './start-mount.js';

const log = (line: string): void => {
  writeSync(2, `${new Date(systemClock.nowMs()).toISOString()} ${line}\n`);
};

function answer(reply: DaemonAnswer): void {
  try {
    writeSync(1, `${JSON.stringify(reply)}\n`);
  } catch (error) {
    // Nobody waits any more.
    log(`could not report: ${String(error)}`);
  }
}

process.on('SIGHUP', () => undefined);
process.on('uncaughtException', (error) => log(`unexpected: ${error.stack ?? error.message}`));
process.on('unhandledRejection', (error) => log(`unexpected: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`));

try {
  const options = JSON.parse(readFileSync(0, 'utf8')) as DaemonOptions;
  const mount = await startMount({ ...options, log });
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) return;
    isStopping = true;
    mount.unmount().catch((error: unknown) => {
      log(`unmounting by force: ${error instanceof Error ? error.message : String(error)}`);
      return mount.unmount({ force: true }).catch((again: unknown) => log(`could not unmount: ${String(again)}`));
    });
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  log(`mounted ${mount.directory} (${mount.session})`);
  answer({ ok: true, directory: mount.directory, session: mount.session, lacks: mount.lacks });
  await mount.closed;
  log(`unmounted ${mount.directory}`);
  process.exit(0);
} catch (error) {
  const failure = toNokvError(error);
  log(`could not mount: ${failure.stack ?? failure.message}`);
  answer({ ok: false, error: failure.toRecord() });
  process.exit(1);
}
