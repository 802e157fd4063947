/** Locks, and the sessions that hold them. */
import { command, many, one, toggle, value } from '../command.js';
import { parseDuration, parseText } from '../quantities.js';

const lock = command({
  name: 'lock',
  group: 'files',
  summary: 'run a program while holding a lock on a file, as flock(1) does',
  notes: [
    'PATH is made where nothing is there. The lock is held until CMD ends, and goes within --ttl if nokv is killed.',
    'The exit code is that of CMD (128 + N when signal N ended it, 127 when it is not there); 5 when the lock was not had.',
    'If the session ends while CMD runs, CMD is told to stop (SIGTERM), since somebody else may hold the lock: exit code 9.',
  ],
  args: { path: one('PATH', 'remote file or directory'), words: many('CMD', 'program and its arguments; behind "--"') },
  flags: {
    shared: toggle('A shared lock: others may hold shared ones too', 's'),
    nonblock: toggle('Do not wait: fail at once where somebody holds it', 'n'),
    wait: value('D', 'Wait at most so long (default: as long as it takes)', parseDuration, 'w'),
    ttl: value('D', 'How long the lock outlives a nokv that was killed, 1s to 24h (default 30s)', parseDuration),
    name: value('NAME', 'Shown to others who wait for it (default: the name of CMD)', parseText),
  },
  example: 'nokv lock /runs/.lock --wait 5m -- make train',
});

const lockList = command({
  name: 'lock list',
  group: 'files',
  summary: 'list the locks that are held on a file',
  args: { path: one('PATH', 'remote file or directory') },
  flags: {},
  example: 'nokv lock list /runs/.lock',
  schema: 'lock',
});

const sessionList = command({
  name: 'session list',
  group: 'other',
  summary: 'list sessions with what they hold, oldest first',
  args: {},
  flags: {},
  example: 'nokv session list',
  schema: 'session',
});

const sessionClose = command({
  name: 'session close',
  group: 'other',
  summary: 'end a session: its locks are free and its open files closed',
  notes: ['For sessions whose client is gone for good; a client that is not finds its session lost.'],
  args: { id: one('ID', 'as "session list" shows it') },
  flags: {},
  example: 'nokv session close 0192f5c3a1b40123456789abcdef0123',
  schema: 'session-close',
});

export const lockCommands = { lock, lockList, sessionList, sessionClose };
