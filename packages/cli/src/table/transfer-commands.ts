/** Bytes in and out. */
import { any, command, many, one, toggle, value, values } from '../command.js';
import { parseCount, parseDigest, parseInteger, parseMode, parseRanges, parseSize, parseLabel, parseText } from '../quantities.js';
import { compress, momentFlags, mutationFlags, recursive, transferFlags } from './shared-flags.js';

const put = command({
  name: 'put',
  group: 'files',
  summary: 'store files, directories or standard input',
  notes: [
    'DST names the result. Behind several sources, when it ends in "/", or when a directory is there and a file is put,',
    'the result lies in DST under the name of its source. "-" is standard input. Odd bytes of a local name are written \\xHH.',
    'A body is published in one step: readers see the old one or the new one. Modes and times are kept. A file that changes while it is',
    'read is refused, and nothing is published. --resume sends only what an earlier put of the same file, killed or cut off, had not',
    'sent yet; for 24 hours behind one with --resume, for 15 minutes behind others. A file that was written to since is sent anew.',
  ],
  args: { sources: many('SRC', 'local file, directory (with -r) or -'), destination: one('DST', 'remote path') },
  flags: {
    recursive,
    ifGeneration: value('G', 'Only if the file is at generation G now; 0: only if nothing is there', parseCount),
    ifDigest: value('DIGEST', 'Only if the file has this digest now (sha256:…)', parseDigest),
    parents: toggle('Make missing parents', 'p'),
    contentType: value('TYPE', 'Content type to record, such as application/json', parseText),
    mode: value('MODE', 'Permissions of the file, octal; default: those of the source', parseMode),
    compress,
    tag: values('K=V', 'Label to set with the file, in the same step; may be repeated', parseLabel),
    resume: toggle('Go on where an earlier put of this file ended'),
    noClobber: toggle('Leave files alone that are there already', 'n'),
    allowChanged: toggle('Publish what was read of a file that changes meanwhile'),
    dryRun: toggle('Say what would be put, and do nothing'),
    dedup: toggle('Share the blocks of a body with the same bytes that was put so before, instead of storing them again'),
    ...transferFlags,
    ...mutationFlags,
  },
  example: 'nokv put --parents model.bin /runs/7/model.bin',
  schema: 'put',
});

const putArtifact = command({
  name: 'put-artifact',
  group: 'files',
  summary: 'publish a file or a whole directory at once',
  notes: [
    'All of it becomes visible in one step, or none. Refused when something is at PATH, unless --replace.',
    'Missing parents are made. What was sent is checked against its digest before it is published.',
  ],
  args: { path: one('PATH', 'remote path of the artifact'), source: one('SRC', 'local file or directory') },
  flags: {
    replace: toggle('Replace what is at PATH, in the same step'),
    digest: value('DIGEST', 'The digest that the file must have (sha256:…)', parseDigest),
    contentType: value('TYPE', 'Content type to record for a file', parseText),
    producer: value('NAME', 'Who made it, recorded with each file', parseText),
    skipSpecial: toggle('Leave out fifos, sockets and devices instead of refusing the directory'),
    ...transferFlags,
    ...mutationFlags,
  },
  example: 'nokv put-artifact /runs/7/report ./report',
  schema: 'put-artifact',
});

const get = command({
  name: 'get',
  group: 'files',
  summary: 'restore files and directories',
  notes: [
    'DST names the result; a file goes into DST under its own name when DST is a directory, and so do several sources. "-" is standard',
    'output. Globs in a quoted SRC are expanded by the command: * and ? within a name, ** for any number of directories.',
    'A file is written beside its place and moved over it when it is whole. Modes, times, symlinks, hard links and empty directories are kept;',
    'local files in the way of a directory are refused unless --replace. See export for a directory that is brought up to date.',
  ],
  args: { sources: many('SRC', 'remote path or glob, or PATH@…'), destination: one('DST', 'local path, or -') },
  flags: {
    recursive,
    replace: toggle('Overwrite local files that are in the way of a directory'),
    noClobber: toggle('Leave local files that are there', 'n'),
    ifNewer: toggle('Leave local files that are not older than what would replace them', 'u'),
    preserve: toggle('Owners (as root) and extended attributes, too', 'p'),
    parents: toggle('Keep the path of each source below DST'),
    resume: toggle('Go on where an earlier get --resume was cut off; checked against the digest when it is whole'),
    ...momentFlags,
    ...transferFlags,
  },
  example: "nokv get '/runs/*/report.md' ./reports --parents",
  schema: 'get',
});

const cat = command({
  name: 'cat',
  group: 'files',
  summary: 'write bodies to standard output',
  args: { paths: many('PATH', 'remote file or glob, or PATH@…') },
  flags: {
    range: value('A-B', 'Bytes A to B (both included), A- to the end, -N the last N; several by commas', parseRanges),
    ...momentFlags,
    progress: transferFlags.progress,
  },
  example: 'nokv cat /runs/7/train.log --range 0-1023',
});

const head = command({
  name: 'head',
  group: 'files',
  summary: 'write the first lines of files',
  args: { paths: many('PATH', 'remote file or glob, or PATH@…') },
  flags: {
    lines: value('N', 'Lines (default 10)', parseInteger(0, 1_000_000_000), 'n'),
    bytes: value('SIZE', 'Bytes instead of lines', parseSize, 'c'),
    ...momentFlags,
  },
  example: 'nokv head -n 20 /runs/7/train.log',
});

const tail = command({
  name: 'tail',
  group: 'files',
  summary: 'write the last lines of files',
  notes: [
    'With -f one file is followed: what is appended to it is written as it is published, until Ctrl-C. A file that is replaced is shown anew.',
  ],
  args: { paths: many('PATH', 'remote file or glob, or PATH@…') },
  flags: {
    lines: value('N', 'Lines (default 10)', parseInteger(0, 1_000_000_000), 'n'),
    bytes: value('SIZE', 'Bytes instead of lines', parseSize, 'c'),
    follow: toggle('Go on with what is appended', 'f'),
    ...momentFlags,
  },
  example: 'nokv tail -f -n 20 /runs/7/train.log',
});

const ls = command({
  name: 'ls',
  group: 'files',
  summary: 'list directories',
  notes: ['In byte order of names. A name that is not UTF-8 is written with \\xHH for its odd bytes.'],
  args: { paths: any('PATH', 'remote directory or file, or PATH@…; default /') },
  flags: {
    long: toggle('Mode, links, owner, size, time and target', 'l'),
    recursive: toggle('Directories below, too', 'R'),
    one: toggle('One name a line', '1'),
    directory: toggle('The directory itself, not what is in it', 'd'),
    ...momentFlags,
  },
  example: 'nokv ls -l /runs/7',
  schema: 'entry',
});

const tree = command({
  name: 'tree',
  group: 'files',
  summary: 'draw what is below a directory',
  args: { path: one('PATH', 'remote directory, or PATH@…') },
  flags: { level: value('N', 'Directories to go down', parseInteger(1, 4096), 'L'), ...momentFlags },
  example: 'nokv tree -L 2 /runs',
  schema: 'entry',
});

const du = command({
  name: 'du',
  group: 'files',
  summary: 'sum up what is below paths',
  notes: [
    'One line for each directory, what is below it included: bytes that are stored (holes take none), bytes that are shown, inodes, path.',
    'A file with several names is counted once.',
  ],
  args: { paths: many('PATH', 'remote path, or PATH@…') },
  flags: {
    summarize: toggle('One line for each PATH', 's'),
    humanReadable: toggle('Sizes such as 1.50 MiB', 'h'),
    ...momentFlags,
  },
  example: 'nokv du -s /runs',
  schema: 'du',
});

const stat = command({
  name: 'stat',
  group: 'files',
  summary: 'show what is known about paths',
  args: { paths: many('PATH', 'remote path, or PATH@…') },
  flags: { dereference: toggle('Follow a symlink to what it names', 'L'), ...momentFlags },
  example: 'nokv stat --json /runs/7/model.bin',
  schema: 'stat',
});

export const transferCommands = { put, putArtifact, get, cat, head, tail, ls, tree, du, stat };
