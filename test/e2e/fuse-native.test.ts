/** The fallback session over libfuse: the same tree with fewer features, and it says which. */
import { createRequire } from 'node:module';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isMounted, shell, startMounted, type Mounted } from './fuse-mounted.js';

/** The optional binding is built only where libfuse and a compiler are. */
function bindingFault(): string | undefined {
  try {
    createRequire(createRequire(import.meta.url).resolve('@nokv/fuse'))('@cocalc/fuse-native');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.split('\n')[0] : String(error);
  }
}

const fault = bindingFault();
if (fault !== undefined) console.warn(`the fuse-native session is not tested: ${fault}`);

describe.skipIf(fault !== undefined)('the fuse-native session', () => {
  let mounted: Mounted;
  let root: string;
  beforeAll(async () => {
    mounted = await startMounted();
  });
  afterAll(async () => await mounted?.close());

  it('names what it lacks, and serves files, links, directories and programs', async () => {
    const daemon = await mounted.mount({ session: 'fuse-native' });
    root = daemon.directory;
    expect(daemon.session).toBe('fuse-native');
    expect(daemon.lacks.length).toBeGreaterThan(0);
    const bytes = randomBytes(9_000_000);
    fs.writeFileSync(join(root, 'f'), bytes);
    expect(fs.readFileSync(join(root, 'f')).equals(bytes)).toBe(true);
    expect(Buffer.from(await (await mounted.client.get('/f')).bytes()).equals(bytes)).toBe(true);
    fs.mkdirSync(join(root, 'd', 'e'), { recursive: true });
    fs.renameSync(join(root, 'f'), join(root, 'd', 'g'));
    fs.symlinkSync('g', join(root, 'd', 'l'));
    fs.linkSync(join(root, 'd', 'g'), join(root, 'd', 'h'));
    fs.truncateSync(join(root, 'd', 'g'), 10);
    fs.chmodSync(join(root, 'd', 'g'), 0o640);
    expect(fs.readdirSync(join(root, 'd')).toSorted()).toEqual(['e', 'g', 'h', 'l']);
    expect(fs.readFileSync(join(root, 'd', 'l')).equals(bytes.subarray(0, 10))).toBe(true);
    expect(fs.statSync(join(root, 'd', 'g')).mode & 0o777).toBe(0o640);
    await shell(
      'git init -q r && cd r && git config user.email t@example.org && git config user.name t && echo x > a && git add a && git commit -qm one && git fsck --strict',
      root,
    );
    await shell('rm -rf r d', root);
    expect(fs.readdirSync(root)).toEqual([]);
  });

  it('goes away when told', async () => {
    await mounted.unmount(root);
    expect(isMounted(root)).toBe(false);
  });

  it('refuses every change of a read-only mount', async () => {
    const { directory } = await mounted.mount({ session: 'fuse-native', readOnly: true });
    expect(() => fs.writeFileSync(join(directory, 'x'), 'x')).toThrow(/EROFS/);
    expect(() => fs.mkdirSync(join(directory, 'x'))).toThrow(/EROFS/);
  });
});
