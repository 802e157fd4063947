/** What an operator does with a running server. */
import { COLLECT_ROWS_MAX, FSCK_CURSOR_BYTES_MAX } from '@nokv/types';
import { command, toggle, value } from '../command.js';
import { parseChoice, parseInteger, parseText } from '../quantities.js';

const fsck = command({
  name: 'fsck',
  group: 'server',
  summary: 'check metadata and store for damage while the server goes on',
  notes: [
    'One line for each finding: severity, kind, whether it was mended, where, what was expected and what was found. Nothing is changed',
    'without --repair, which mends what needs no decision: counts, links, copies of attributes; what has lost its name goes to /lost+found.',
    'Exits with 10 when findings are left. Ctrl-C prints a cursor on stderr; --resume goes on there, and may tell a few findings again.',
  ],
  args: {},
  flags: {
    repair: toggle('Mend what is safe'),
    drop: toggle('With --repair: also remove entries that lead nowhere and objects that nothing knows'),
    checksums: toggle('Read every block and compare its checksum'),
    resume: value('CURSOR', `Go on where an earlier check was broken off (at most ${FSCK_CURSOR_BYTES_MAX} characters)`, parseText),
    progress: value('MODE', 'auto: a line on a terminal; never', parseChoice('auto', 'never')),
  },
  example: 'nokv fsck --repair',
  schema: 'fsck',
});

const stats = command({
  name: 'stats',
  group: 'server',
  summary: 'show what the shard holds and has done',
  args: {},
  flags: { rows: toggle('Count the rows of every family, too') },
  example: 'nokv stats --rows',
  schema: 'stats',
});

const gc = command({
  name: 'gc',
  group: 'server',
  summary: 'do background work that is due, and say what is left and why',
  notes: [
    'The server does it by itself; this hurries it, and explains it. Rows come in the order in which they are due: expired uploads, blocks',
    'that no body names, superseded bodies, staged trees, ended forks, sessions. The store is looked through for some seconds, too: blocks that',
    'nothing knows are queued and go after the grace of nokv serve --orphan-grace; objects that are no blocks are shown and left alone.',
    'Of blocks that go the size is what the store has of them; of a superseded body it is its length.',
  ],
  args: {},
  flags: {
    dryRun: toggle('Say what waits and do nothing'),
    limit: value('N', `Rows to show, at most ${COLLECT_ROWS_MAX} (default 100)`, parseInteger(1, COLLECT_ROWS_MAX)),
  },
  example: 'nokv gc --dry-run',
  schema: 'gc',
});

export const upkeepCommands = { fsck, stats, gc };
