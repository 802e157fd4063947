/** What of the namespace lies in the cache of this machine. */
import { any, command, many } from '../command.js';
import { momentFlags, transferFlags } from './shared-flags.js';

const paths = { paths: many('PATH', 'remote file, or directory with all below it') };

const tierStatus = command({
  name: 'tier status',
  group: 'other',
  summary: 'show what of a path lies in the disk cache; without one, the cache itself',
  notes: ['Columns: cached, pinned and all bytes of blocks, bytes of bodies inside the metadata (they need no cache), files, path.'],
  args: { paths: any('PATH', 'remote file, or directory with all below it; default: the cache as a whole, with its pins') },
  flags: { ...momentFlags },
  example: 'nokv tier status /ckpt/7',
  schema: 'tier',
});

const tierWarm = command({
  name: 'tier warm',
  group: 'other',
  summary: 'read files or trees into the disk cache',
  notes: [
    'What is there already is checked and kept. Refused when it cannot fit (--cache-size). Later it makes room like anything else: see "tier pin".',
  ],
  args: paths,
  flags: { ...momentFlags, progress: transferFlags.progress },
  example: 'nokv tier warm /ckpt/7',
  schema: 'tier',
});

const tierPin = command({
  name: 'tier pin',
  group: 'other',
  summary: 'read files or trees into the disk cache and keep them there',
  notes: [
    'Reads of it then need the server alone, whatever becomes of the object store. What is pinned is the state of now; pinning the path again',
    'takes the newest. Refused when all pins together cannot fit (--cache-size).',
  ],
  args: paths,
  flags: { ...momentFlags, progress: transferFlags.progress },
  example: 'nokv tier pin /ckpt/7',
  schema: 'tier',
});

const tierUnpin = command({
  name: 'tier unpin',
  group: 'other',
  summary: 'let pinned paths go when the disk cache needs room',
  args: { paths: many('PATH', 'remote path, as it was pinned') },
  flags: {},
  example: 'nokv tier unpin /ckpt/7',
  schema: 'tier-unpin',
});

const tierEvict = command({
  name: 'tier evict',
  group: 'other',
  summary: 'take files or trees out of the disk cache',
  notes: ['What a pin holds stays. Nothing is lost: whatever is in the cache is in the object store.'],
  args: paths,
  flags: { ...momentFlags },
  example: 'nokv tier evict /ckpt/6',
  schema: 'tier',
});

export const tierCommands = { tierStatus, tierWarm, tierPin, tierUnpin, tierEvict };
