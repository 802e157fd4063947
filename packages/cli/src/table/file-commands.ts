/** Changes to the namespace. */
import { command, many, one, toggle, value } from '../command.js';
import { parseCount, parseMode, parseSize } from '../quantities.js';
import { momentFlags, mutationFlags, recursive, transferFlags } from './shared-flags.js';

const mkdir = command({
  name: 'mkdir',
  group: 'files',
  summary: 'make directories',
  args: { paths: many('PATH', 'remote path') },
  flags: {
    parents: toggle('Make missing parents; a directory that is there is fine', 'p'),
    mode: value('MODE', 'Permissions, octal (default 0755)', parseMode, 'm'),
    ...mutationFlags,
  },
  example: 'nokv mkdir -p /runs/8/logs',
  schema: 'change',
});

const rm = command({
  name: 'rm',
  group: 'files',
  summary: 'remove files, symlinks and, with -r, directories',
  notes: ['With -r a directory and all below it go in one step. The root is never removed.'],
  args: { paths: many('PATH', 'remote path') },
  flags: { recursive, force: toggle('A path that is not there is fine', 'f'), ...mutationFlags },
  example: 'nokv rm -r /runs/6',
  schema: 'change',
});

const rmdir = command({
  name: 'rmdir',
  group: 'files',
  summary: 'remove empty directories',
  args: { paths: many('PATH', 'remote path') },
  flags: { ...mutationFlags },
  example: 'nokv rmdir /runs/8/logs',
  schema: 'change',
});

const mv = command({
  name: 'mv',
  group: 'files',
  summary: 'rename or move',
  notes: ['DST names the result; behind several sources, or when it is a directory, they move into it.'],
  args: { sources: many('SRC', 'remote path'), destination: one('DST', 'remote path') },
  flags: { noReplace: toggle('Refuse when DST is there', 'n'), exchange: toggle('Swap SRC and DST in one step'), ...mutationFlags },
  example: 'nokv mv -n /runs/7/draft /runs/7/report',
  schema: 'change',
});

const cp = command({
  name: 'cp',
  group: 'files',
  summary: 'copy inside the namespace',
  notes: [
    'Bodies are shared, not copied: later writes to one do not show in the other. Modes and times are kept.',
    'SRC@… copies what was there at a moment; then nothing may be at DST.',
  ],
  args: { sources: many('SRC', 'remote path, or PATH@…'), destination: one('DST', 'remote path') },
  flags: { recursive, ...momentFlags, ...mutationFlags },
  example: 'nokv cp /runs/7/model.bin /best/model.bin',
  schema: 'change',
});

const ln = command({
  name: 'ln',
  group: 'files',
  summary: 'make a hard link or, with -s, a symlink',
  args: { target: one('TARGET', 'remote path of a file; with -s any text'), path: one('PATH', 'remote path of the link') },
  flags: { symbolic: toggle('A symlink that says TARGET', 's'), ...mutationFlags },
  example: 'nokv ln -s ../7/model.bin /runs/latest/model.bin',
  schema: 'change',
});

const readlink = command({
  name: 'readlink',
  group: 'files',
  summary: 'show the target of symlinks',
  args: { paths: many('PATH', 'remote path of a symlink, or PATH@…') },
  flags: { ...momentFlags },
  example: 'nokv readlink /runs/latest/model.bin',
  schema: 'readlink',
});

const chmod = command({
  name: 'chmod',
  group: 'files',
  summary: 'change permissions',
  args: { mode: one('MODE', 'octal, or changes such as u+x,go-w'), paths: many('PATH', 'remote path') },
  flags: { recursive: toggle('What is below, too', 'R'), ...mutationFlags },
  example: 'nokv chmod 0600 /secrets/key',
  schema: 'change',
});

const chown = command({
  name: 'chown',
  group: 'files',
  summary: 'change owner and group, as numbers',
  args: { owner: one('UID[:GID]', 'or :GID'), paths: many('PATH', 'remote path') },
  flags: { recursive: toggle('What is below, too', 'R'), noDereference: toggle('A symlink itself', 'h'), ...mutationFlags },
  example: 'nokv chown 1000:1000 /runs/7',
  schema: 'change',
});

const touch = command({
  name: 'touch',
  group: 'files',
  summary: 'make empty files, or set the times of those that are there to now',
  args: { paths: many('PATH', 'remote path') },
  flags: { ...mutationFlags },
  example: 'nokv touch /runs/7/DONE',
  schema: 'change',
});

const truncate = command({
  name: 'truncate',
  group: 'files',
  summary: 'cut files or extend them with zeros',
  notes: ['Zeros take no room; nothing is read, save for what is cut to 16 KiB or less. A file that is not there is an error.'],
  args: { paths: many('PATH', 'remote path') },
  flags: { size: value('SIZE', 'The length that they get (0, 64KiB, 100GiB)', parseSize, 's'), ...mutationFlags },
  example: 'nokv truncate -s 0 /runs/7/log.txt',
  schema: 'change',
});

const append = command({
  name: 'append',
  group: 'files',
  summary: 'add bytes at the end of a file',
  notes: [
    'A file that is not there is made. Each append lands once and whole, however many run at the same time; what is in the',
    'file already is not sent again. The digest of a file in blocks is unknown afterwards.',
  ],
  args: { source: one('SRC', 'local file or - for standard input'), path: one('PATH', 'remote path') },
  flags: {
    ifGeneration: value('G', 'Only if the file is at generation G now; 0: only if nothing is there', parseCount),
    parents: toggle('Make missing parents', 'p'),
    mode: value('MODE', 'Permissions of a file that is made, octal (default 0644)', parseMode),
    progress: transferFlags.progress,
    ...mutationFlags,
  },
  example: 'nokv append today.log /runs/7/train.log',
  schema: 'splice',
});

const patch = command({
  name: 'patch',
  group: 'files',
  summary: 'write bytes over a part of a file',
  notes: [
    'Readers see all of the change or nothing of it. Blocks that it does not touch are shared with the body that was there.',
    'Behind the end of the file zeros fill the gap. A file that is not there is an error.',
  ],
  args: { source: one('SRC', 'local file or - for standard input'), path: one('PATH', 'remote path') },
  flags: {
    offset: value('N', 'Where the bytes go (0, 4096, 64KiB)', parseSize),
    ifGeneration: value('G', 'Only if the file is at generation G now', parseCount),
    progress: transferFlags.progress,
    ...mutationFlags,
  },
  example: 'nokv patch header.bin /runs/7/model.bin --offset 0',
  schema: 'splice',
});

const xattrGet = command({
  name: 'xattr get',
  group: 'files',
  summary: 'write the value of an extended attribute',
  args: { path: one('PATH', 'remote path, or PATH@…'), name: one('NAME', 'such as user.origin') },
  flags: { ...momentFlags },
  example: 'nokv xattr get /runs/7/model.bin user.origin',
  schema: 'xattr',
});

const xattrSet = command({
  name: 'xattr set',
  group: 'files',
  summary: 'set an extended attribute',
  args: {
    path: one('PATH', 'remote path'),
    name: one('NAME', 'such as user.origin'),
    value: one('VALUE', 'text, or - for standard input'),
  },
  flags: { create: toggle('Refuse when it is there'), replace: toggle('Refuse when it is not there'), ...mutationFlags },
  example: 'nokv xattr set /runs/7/model.bin user.origin trainer-3',
  schema: 'change',
});

const xattrList = command({
  name: 'xattr list',
  group: 'files',
  summary: 'list the names of extended attributes',
  args: { path: one('PATH', 'remote path, or PATH@…') },
  flags: { ...momentFlags },
  example: 'nokv xattr list /runs/7/model.bin',
  schema: 'xattr',
});

const xattrRm = command({
  name: 'xattr rm',
  group: 'files',
  summary: 'remove an extended attribute',
  args: { path: one('PATH', 'remote path'), name: one('NAME', 'such as user.origin') },
  flags: { ...mutationFlags },
  example: 'nokv xattr rm /runs/7/model.bin user.origin',
  schema: 'change',
});

export const fileCommands = {
  mkdir,
  rm,
  rmdir,
  mv,
  cp,
  ln,
  readlink,
  chmod,
  chown,
  touch,
  truncate,
  append,
  patch,
  xattrGet,
  xattrSet,
  xattrList,
  xattrRm,
};
