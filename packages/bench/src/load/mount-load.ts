/**
 * File-system calls by a process of their own: `mount-load <case> <directory> <ms>` prints operations (or MiB) a second.
 * It runs on a mount, on the disk beside it, anywhere.
 */
import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const [name = '', directory = '', durationText = '1000'] = process.argv.slice(2);
const durationMs = Number(durationText);
const base = join(directory, `load-${process.pid}`);

function loop(work: (i: number) => void): number {
  const start = performance.now();
  let count = 0;
  let elapsed = 0;
  do {
    for (let i = 0; i < 16; i++) work(count++);
    elapsed = performance.now() - start;
  } while (elapsed < durationMs);
  return (count / elapsed) * 1000;
}

const cases: Readonly<Record<string, () => number>> = {
  stat() {
    const files = Array.from({ length: 100 }, (_, i) => join(base, `f${i}`));
    for (const file of files) closeSync(openSync(file, 'w'));
    for (const file of files) statSync(file);
    return loop((i) => statSync(files[i % files.length] ?? ''));
  },
  'create-close': () => loop((i) => closeSync(openSync(join(base, `n${i}`), 'wx'))),
  'sequential-write'() {
    const chunk = Buffer.alloc(1 << 20, 0x5a);
    const bytes = 512 << 20;
    const start = performance.now();
    const fd = openSync(join(base, 'big'), 'w');
    for (let at = 0; at < bytes; at += chunk.length) writeSync(fd, chunk);
    fsyncSync(fd);
    if (fstatSync(fd).size !== bytes) throw new Error('short file');
    closeSync(fd);
    return bytes / 1048576 / ((performance.now() - start) / 1000);
  },
};

const run = cases[name];
if (run === undefined) throw new Error(`no case ${name}`);
mkdirSync(base);
try {
  process.stdout.write(`${run()}\n`);
} finally {
  rmSync(base, { recursive: true, force: true });
}
