/** The past: versions, snapshots, tags, clones, differences. */
import { command, one, optional, toggle, value, values } from '../command.js';
import { parseMoment } from '../moment.js';
import { parseCount, parseDuration, parseInteger, parseLabel, parseText } from '../quantities.js';
import { momentFlags, mutationFlags } from './shared-flags.js';

const labels = values('K=V', 'A label; repeatable', parseLabel);
const ttl = value('D', 'How long it is kept, such as 30m or 30d (default 7d)', parseDuration);

const snapshotCreate = command({
  name: 'snapshot create',
  group: 'history',
  summary: 'freeze a view of a file or directory with all below it',
  notes: ['Costs the same whatever its size. It is kept until its lease ends; "snapshot renew" extends that, a tag needs no lease.'],
  args: { path: one('PATH', 'remote file or directory') },
  flags: { ttl, name: value('NAME', 'A name for people; not unique', parseText), label: labels, ...mutationFlags },
  example: "nokv snapshot create /runs/7 --ttl 30d --name 'before the sweep'",
  schema: 'pin',
});

const snapshotList = command({
  name: 'snapshot list',
  group: 'history',
  summary: 'list snapshots, oldest first',
  args: { path: optional('PATH', 'only those of exactly this file or directory') },
  flags: {},
  example: 'nokv snapshot list',
  schema: 'pin',
});

const snapshotInfo = command({
  name: 'snapshot info',
  group: 'history',
  summary: 'show one snapshot',
  args: { id: one('ID', 'as "snapshot list" shows it') },
  flags: {},
  example: 'nokv snapshot info 1207',
  schema: 'pin',
});

const snapshotRenew = command({
  name: 'snapshot renew',
  group: 'history',
  summary: 'keep a snapshot for longer',
  notes: ['Its lease is counted from now and never becomes shorter.'],
  args: { id: one('ID', 'as "snapshot list" shows it') },
  flags: { ttl, ...mutationFlags },
  example: 'nokv snapshot renew 1207 --ttl 90d',
  schema: 'pin',
});

const snapshotRetire = command({
  name: 'snapshot retire',
  group: 'history',
  summary: 'give up a snapshot before its lease ends',
  args: { id: one('ID', 'as "snapshot list" shows it') },
  flags: { ...mutationFlags },
  example: 'nokv snapshot retire 1207',
  schema: 'pin',
});

const tagCreate = command({
  name: 'tag create',
  group: 'history',
  summary: 'name the state of a file or directory, for good',
  notes: ['Refused when the tag is there: "tag move" moves it.'],
  args: { name: one('NAME', 'without "/" and "@"'), path: one('PATH', 'remote file or directory, or PATH@…') },
  flags: { label: labels, ...momentFlags, ...mutationFlags },
  example: 'nokv tag create v1.0 /models/best',
  schema: 'pin',
});

const tagMove = command({
  name: 'tag move',
  group: 'history',
  summary: 'make a tag name another state',
  args: { name: one('NAME', 'a tag that is there'), path: one('PATH', 'remote file or directory, or PATH@…') },
  flags: {
    ifPin: value('ID', 'Only if the tag is this one now, as "tag list" shows it', parseInteger(1, Number.MAX_SAFE_INTEGER)),
    label: labels,
    ...momentFlags,
    ...mutationFlags,
  },
  example: 'nokv tag move best /models/8@snap:1207',
  schema: 'pin',
});

const tagList = command({
  name: 'tag list',
  group: 'history',
  summary: 'list tags',
  args: { path: optional('PATH', 'only those of exactly this file or directory') },
  flags: {},
  example: 'nokv tag list',
  schema: 'pin',
});

const tagRm = command({
  name: 'tag rm',
  group: 'history',
  summary: 'remove a tag',
  args: { name: one('NAME', 'a tag that is there') },
  flags: { ifPin: tagMove.flags.ifPin, ...mutationFlags },
  example: 'nokv tag rm v1.0',
  schema: 'pin',
});

const clone = command({
  name: 'clone',
  group: 'history',
  summary: 'copy a file or a whole tree at once, as it is or was',
  notes: ['Costs the same whatever its size. From then on the two are independent; "merge" brings changes of the clone back.'],
  args: { source: one('SRC', 'remote path, or PATH@…'), destination: one('DST', 'remote path where nothing is') },
  flags: { parents: toggle('Make missing parents of DST', 'p'), ...momentFlags, ...mutationFlags },
  example: 'nokv clone /runs/7@tag:baseline /forks/try',
  schema: 'clone',
});

const diff = command({
  name: 'diff',
  group: 'history',
  summary: 'show what differs between two places or moments',
  notes: [
    'A added, D removed, M modified, R renamed, P other properties alone. Paths are relative to A and B.',
    '--text shows the changed lines as diff -u does; a removed or added file is compared with an empty one.',
  ],
  args: { a: one('A', 'remote path, or PATH@…'), b: optional('B', 'the same; default: A as it is now') },
  flags: {
    text: toggle('Changed lines of files, as a patch'),
    nameOnly: toggle('Paths alone'),
  },
  example: 'nokv diff /runs/7@snap:1207 /runs/7 --text',
  schema: 'diff',
});

const merge = command({
  name: 'merge',
  group: 'history',
  summary: 'bring what changed in a clone back to where it came from',
  notes: ['All of it in one step, or nothing where both sides changed the same: then each conflict is listed and the exit code is 5.'],
  args: { fork: one('FORK', 'remote directory that "clone" made') },
  flags: {
    into: value('PATH', 'Another directory than the one that the clone was made of', parseText),
    dryRun: toggle('Only say what would happen'),
    ...mutationFlags,
  },
  example: 'nokv merge /forks/try --dry-run',
  schema: 'merge',
});

const rollback = command({
  name: 'rollback',
  group: 'history',
  summary: 'put a file or directory back as it was',
  notes: ['In one step, whatever its size. The state before is left as a snapshot, to which one can go back.'],
  args: { path: one('PATH', 'remote file or directory') },
  flags: {
    to: value('MOMENT', 'G, vN, tag:NAME, snap:ID, version:N or a time (RFC 3339)', parseMoment),
    undoTtl: value('D', 'How long the state before is kept (default 7d)', parseDuration),
    ...mutationFlags,
  },
  example: 'nokv rollback /runs/7 --to snap:1207',
  schema: 'rollback',
});

const log = command({
  name: 'log',
  group: 'history',
  summary: 'list the bodies of a file that are kept, or what changed below a directory, newest first',
  notes: [
    'Of a directory each line is a change, as "nokv watch" shows them; with --json one of watch-event.json. They reach back as far as the server keeps changes.',
  ],
  args: { path: one('PATH', 'remote file or directory') },
  flags: { limit: value('N', 'At most so many', parseInteger(1, Number.MAX_SAFE_INTEGER), 'n') },
  example: 'nokv log /runs/7/report.md',
  schema: 'log',
});

const revert = command({
  name: 'revert',
  group: 'history',
  summary: 'make an earlier body of a file the current one again',
  notes: ['It gets a generation of its own; nothing is uploaded.'],
  args: { path: one('PATH@G', 'a body as "log" shows it: PATH@G or PATH@vN') },
  flags: { ifGeneration: value('G', 'Only if the file is at generation G now', parseCount), ...mutationFlags },
  example: 'nokv revert /runs/7/report.md@v1',
  schema: 'revert',
});

const undelete = command({
  name: 'undelete',
  group: 'history',
  summary: 'bring back what was removed',
  notes: ['What was last removed at PATH, or what was there at a moment: a file, or a directory with all below it.'],
  args: { path: one('PATH', 'remote path that is gone, or PATH@…') },
  flags: { to: value('PATH', 'Another place for it', parseText), ...momentFlags, ...mutationFlags },
  example: 'nokv undelete /runs/6 --to /runs/6-again',
  schema: 'change',
});

const prune = command({
  name: 'prune',
  group: 'history',
  summary: 'remove superseded bodies of files now',
  notes: [
    'A body goes when it is neither among the newest superseded ones nor young; what a snapshot, tag or clone shows stays.',
    'Without flags: what retention has no more use for.',
  ],
  args: { path: one('PATH', 'remote file or directory') },
  flags: {
    keepLast: value('N', 'Of each file the newest superseded bodies that stay', parseCount),
    olderThan: value('D', 'Only bodies that were superseded longer ago than this, such as 7d; 0s: all', parseDuration),
    dryRun: toggle('Only say what would go'),
    ...mutationFlags,
  },
  example: 'nokv prune /runs --keep-last 1 --older-than 7d --dry-run',
  schema: 'prune',
});

const retentionGet = command({
  name: 'retention get',
  group: 'history',
  summary: 'show how long superseded bodies are kept',
  args: { path: one('PATH', 'remote file or directory') },
  flags: {},
  example: 'nokv retention get /runs',
  schema: 'retention',
});

const retentionSet = command({
  name: 'retention set',
  group: 'history',
  summary: 'say how long superseded bodies below a directory are kept',
  notes: ['A body stays while it is among the newest superseded ones or young. What is not given stays as it is.'],
  args: { path: one('PATH', 'remote directory') },
  flags: {
    keepLast: value('N', 'The newest superseded bodies of each file', parseCount),
    keepFor: value('D', 'Those that were superseded less long ago than this, such as 24h', parseDuration),
    inherit: toggle('What the directory above says'),
    ...mutationFlags,
  },
  example: 'nokv retention set /runs --keep-last 5 --keep-for 7d',
  schema: 'retention',
});

export const historyCommands = {
  snapshotCreate,
  snapshotList,
  snapshotInfo,
  snapshotRenew,
  snapshotRetire,
  tagCreate,
  tagMove,
  tagList,
  tagRm,
  clone,
  diff,
  merge,
  rollback,
  log,
  revert,
  undelete,
  prune,
  retentionGet,
  retentionSet,
};
