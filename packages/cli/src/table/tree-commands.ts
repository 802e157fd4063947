/** Whole directories and archives, in and out. */
import { command, one, optional, toggle, value, values } from '../command.js';
import { parseChoice, parseOwner, parseText } from '../quantities.js';
import { compress, momentFlags, mutationFlags, transferFlags } from './shared-flags.js';
import { bothOf } from '../both-of.js';

const filterFlags = {
  exclude: values('GLOB', 'Leave out what matches, with all below it; without "/": the last name at any depth; may be repeated', parseText),
  include: values('GLOB', 'Take this although it is excluded; alone: only files that match; may be repeated', parseText),
} as const;

const syncFlags = {
  delete: toggle('Remove from DST what SRC does not have, after everything else and only if nothing failed'),
  dryRun: toggle('Only tell what would be done', 'n'),
  checksum: toggle('Compare files by digest instead of size and modification time', 'c'),
  ...filterFlags,
  ...transferFlags,
} as const;

const putTree = command({
  name: 'put-tree',
  group: 'files',
  summary: 'publish a directory at once: readers see all of it or none',
  notes: [
    'Refused when something is at PATH, unless --replace, which replaces it in the same step. Missing parents are made.',
    'Modes, times, symlinks, hard links, extended attributes and empty directories are kept; everything belongs to the caller.',
    'Interrupted, it prints how to go on (--resume --request-id ID): what was sent is kept for a day and not sent again.',
  ],
  args: { directory: one('DIR', 'local directory'), path: one('PATH', 'remote path that it becomes') },
  flags: {
    replace: toggle('Replace what is at PATH, in the same step'),
    special: value(
      'HOW',
      'Fifos, sockets and devices: refuse the directory (default), skip or keep them',
      parseChoice('refuse', 'skip', 'keep'),
    ),
    producer: value('NAME', 'Who made it, recorded with each file', parseText),
    resume: toggle('Go on with what an interrupted put-tree sent under the same --request-id'),
    compress,
    ...filterFlags,
    ...transferFlags,
    ...mutationFlags,
  },
  example: 'nokv put-tree ./checkpoint /ckpt/7',
  schema: 'put-tree',
});

const importTree = command({
  name: 'import',
  group: 'files',
  summary: 'make a remote directory what a local one is, sending only what differs',
  notes: [
    'Entry by entry, like rsync -a: owners, modes, times, symlinks, hard links, special files and extended attributes are kept. What has the same',
    'size and modification time stays, and is not sent again. DST becomes what SRC is: the contents of SRC lie in it.',
    'An entry that cannot be moved is told, the others are moved; the exit code is then that of the first failure.',
    'SRC may be an archive: "-" for standard input, or a file that ends in .tar, .tgz or .tar.gz. What it holds is made in DST.',
  ],
  args: { source: one('SRC', 'local directory, archive or -'), destination: one('DST', 'remote directory; made with its parents') },
  flags: {
    ...syncFlags,
    owner: value('UID:GID', 'Owner of everything; default: as root the owners that the local entries have, else the caller', (text) =>
      bothOf(parseOwner(text), text),
    ),
    skipSpecial: toggle('Leave out fifos, sockets and devices'),
    compress,
    format: value('FORMAT', 'SRC is an archive in this format: tar or tar.gz', parseChoice('tar', 'tar.gz')),
    producer: value('NAME', 'Who made it, recorded with each file', parseText),
  },
  example: 'nokv import ./dataset /datasets/books --exclude "*.tmp" --delete',
  schema: 'sync',
});

const exportTree = command({
  name: 'export',
  group: 'files',
  summary: 'make a local directory what a remote one is, fetching only what differs',
  notes: [
    'The other direction of import, with the same rules. Files are written beside their place and moved over it when they are whole;',
    'a symlink below DST is never followed: one that is in the way is replaced. Owners are set when this runs as root.',
  ],
  args: { source: one('SRC', 'remote directory, or PATH@…'), destination: one('DST', 'local directory; made with its parents') },
  flags: { ...syncFlags, noOwner: toggle('Leave local owners as they come'), ...momentFlags },
  example: 'nokv export /datasets/books ./dataset --checksum',
  schema: 'sync',
});

const archive = command({
  name: 'archive',
  group: 'files',
  summary: 'write a directory or file to standard output as a tar archive',
  notes: [
    'In pax format: long names, names that are not UTF-8, nanoseconds, extended attributes and hard links are kept; "tar xf" reads it.',
    'Each file is one state of it; with --at (or PATH@…) all of it is one moment. Memory does not grow with it.',
  ],
  args: {
    path: one('PATH', 'remote directory or file, or PATH@…'),
    file: optional('FILE', 'local file, or - for standard output (default)'),
  },
  flags: {
    format: value('FORMAT', 'tar (default) or tar.gz', parseChoice('tar', 'tar.gz')),
    ...filterFlags,
    ...momentFlags,
    progress: transferFlags.progress,
  },
  example: 'nokv archive /runs/7 run-7.tar.gz',
});

export const treeCommands = { putTree, importTree, exportTree, archive };
