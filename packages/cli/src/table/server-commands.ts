import { command, one } from '../command.js';
import { SERVER_SETTINGS, settingFlags } from '../settings.js';

const serve = command({
  name: 'serve',
  group: 'server',
  summary: 'run a server',
  notes: [
    'With nothing given it keeps metadata and bodies under ./.nokv and listens on loopback only.',
    'Ctrl-C finishes what is in flight and stops; a second Ctrl-C stops at once.',
    'With --cache-dir it keeps blocks of a bucket that clients read through it on its disk; unless named, a server has no such directory.',
    'Credentials of a bucket come from the usual AWS environment or profile, never from the URL.',
  ],
  args: {},
  flags: { ...settingFlags(SERVER_SETTINGS) },
  example: "nokv serve --data /var/lib/nokv --object 's3://bucket/prefix?endpoint=http://127.0.0.1:7480&region=us-east-1&pathStyle=true'",
  schema: 'serve-ready',
});

const backup = command({
  name: 'backup',
  group: 'server',
  summary: 'write a backup of the metadata',
  notes: [
    'The server writes one consistent image to DEST while everybody goes on: a directory or a bucket as the server reaches it, with',
    'nothing of a backup in it yet. Bodies stay in the object store; keep that, too. A backup that was interrupted has no manifest and is none.',
  ],
  args: { destination: one('DEST', 'A directory, file:///dir or s3://bucket/prefix') },
  flags: {},
  example: "nokv backup 's3://backups/nokv/2026-05-01?region=us-east-1'",
  schema: 'backup',
});

const restore = command({
  name: 'restore',
  group: 'server',
  summary: 'make a data directory from a backup',
  notes: [
    'SRC is what nokv backup wrote to, or the object store of a fleet, whose newest image and log are taken. The data directory has to be',
    'empty or absent. What was restored is proved by its digest. Then: nokv serve --data DIR with the --object that the bodies are in.',
    'Never serve a restored directory beside the server that it came from with one object store: each would remove bodies of the other.',
  ],
  args: { source: one('SRC', 'A directory, file:///dir or s3://bucket/prefix') },
  flags: { ...settingFlags({ data: SERVER_SETTINGS.data }) },
  example: "nokv restore 's3://backups/nokv/2026-05-01?region=us-east-1' --data /var/lib/nokv",
  schema: 'restore',
});

const status = command({
  name: 'status',
  group: 'server',
  summary: 'show which server answers, whether it serves, and how its store is',
  notes: [
    'The circuit to the store is open after failures in a row: until one request in a while finds the store back, calls that need it wait',
    'and fail at their deadline. A server that stands by for another answers, too.',
  ],
  args: {},
  flags: {},
  example: 'nokv status --server 10.0.0.5:7777',
  schema: 'status',
});

export const serverCommands = { serve, status, backup, restore };
