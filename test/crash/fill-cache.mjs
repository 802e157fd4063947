/**
 * `node fill-cache.mjs STORE CACHE MANIFEST`: reads a body's blocks through a disk cache again and again, takes entries out so that they are
 * written again, and says `wrong` if ever a byte is. Runs until it is killed.
 */
import { readFileSync } from 'node:fs';
import { BodyReader, DiskCache, blocksOf, crc32c, openFileStore } from '@nokv/object';

const [, , store, directory, manifestFile] = process.argv;
const manifest = JSON.parse(readFileSync(manifestFile, 'utf8'));
const blocks = blocksOf(await openFileStore(store));
const bytesMax = Math.ceil((manifest.size * 2) / 3);
process.stdout.write('ready\n');
for (let round = 0; ; round += 1) {
  const disk = new DiskCache({ directory, bytesMax, freeBytesMin: 0 });
  const reader = new BodyReader({ store: blocks, disk, cacheBytes: 0 });
  let at = 0;
  for await (const chunk of reader.stream({ kind: 'blocks', manifest })) {
    if (crc32c(chunk) !== manifest.extents[at].crc32c) process.stdout.write('wrong\n');
    at += 1;
  }
  await disk.settle();
  if (disk.figures.problem !== undefined) process.stdout.write(`problem ${disk.figures.problem}\n`);
  await disk.remove(manifest.extents.filter((_, index) => index % 3 === round % 3));
}
