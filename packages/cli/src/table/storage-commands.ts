/** How bodies below a directory are stored. */
import { CODECS } from '@nokv/types';
import { command, one, value } from '../command.js';
import { parseChoice } from '../quantities.js';
import { mutationFlags } from './shared-flags.js';

const storageGet = command({
  name: 'storage get',
  group: 'files',
  summary: 'show how what is put below a directory is stored',
  args: { path: one('PATH', 'remote file or directory') },
  flags: {},
  example: 'nokv storage get /runs',
  schema: 'storage',
});

const storageSet = command({
  name: 'storage set',
  group: 'files',
  summary: 'say how what is put below a directory is stored',
  notes: [
    'Counts for what is put from now on, by the SDK and these commands, and not for what is written through a mount; the',
    'nearest directory that has a setting counts. Commands that say it themselves (put --compress) come first. The settings',
    'are the extended attributes user.nokv.compress and user.nokv.dedup of the directory.',
  ],
  args: { path: one('PATH', 'remote directory') },
  flags: {
    compress: value('CODEC', 'Blocks that get shorter by it are compressed: brotli, gzip; none', parseChoice(...CODECS, 'none')),
    dedup: value('on|off', 'A body with the bytes of another one shares its blocks', parseChoice('on', 'off')),
    ...mutationFlags,
  },
  example: 'nokv storage set /logs --compress brotli',
  schema: 'storage',
});

const storageClear = command({
  name: 'storage clear',
  group: 'files',
  summary: 'take the settings of a directory away: those above it count',
  args: { path: one('PATH', 'remote directory') },
  flags: { ...mutationFlags },
  example: 'nokv storage clear /logs',
  schema: 'storage',
});

export const storageCommands = { storageGet, storageSet, storageClear };
