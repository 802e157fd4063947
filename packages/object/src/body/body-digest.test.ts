import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { digestOf, localDigest, sharedDigest } from './body-digest.js';

function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

test('digests that are computed side by side in threads do not mix', async () => {
  const bodies = Array.from({ length: 7 }, (_, at) => Array.from({ length: at * 3 }, () => shared(randomBytes(10_000 + at))));
  const digests = bodies.map(() => sharedDigest());
  for (let part = 0; part < 18; part += 1) {
    await Promise.all(bodies.map(([...parts], at) => parts.slice(part, part + 1).map((bytes) => digests[at]?.update(bytes))).flat());
  }
  const found = await Promise.all(digests.map((digest) => digest.finish()));
  expect(found).toEqual(bodies.map((parts) => digestOf(Buffer.concat(parts))));
});

test('the empty body and the local way', async () => {
  const empty = `sha256:${createHash('sha256').digest('hex')}`;
  expect(await sharedDigest().finish()).toBe(empty);
  const local = localDigest();
  await local.update(Buffer.from('abc'));
  expect(await local.finish()).toBe('sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

test('an idle thread does not keep the process alive, a busy one does', () => {
  const script = `
    const { sharedDigest } = await import(${JSON.stringify(new URL('../../dist/body/body-digest.js', import.meta.url).href)});
    const digest = sharedDigest();
    digest.update(new Uint8Array(new SharedArrayBuffer(1000)));
    digest.finish().then((text) => process.stdout.write(text));`;
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 20_000 });
  expect(printed).toBe(digestOf(Buffer.alloc(1000)));
});
