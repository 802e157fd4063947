import { any, command, value } from '../command.js';
import { parseText } from '../quantities.js';

const configShow = command({
  name: 'config show',
  group: 'other',
  summary: 'show every setting, its value and where it comes from',
  args: {},
  flags: {},
  example: 'NOKV_SERVER=10.0.0.5:7777 nokv config show',
  schema: 'config',
});

const doctor = command({
  name: 'doctor',
  group: 'other',
  summary: 'check this machine and the server, or a store, and say how to mend what fails',
  notes: [
    'With --object it tries a store of yours, no server needed: small objects are written below probe/ and removed, and each capability',
    'is shown with what follows from it. A server is then looked at only where one is named. Exits with 9 when a check fails;',
    'WARN is for what nokv does without.',
  ],
  args: {},
  flags: {
    object: value('URL', 'Try this store (file:///dir or s3://…)', parseText),
    control: value('URL', 'Try this coordinator (etcd://…)', parseText),
  },
  example: "nokv doctor --object 's3://bucket/prefix?endpoint=http://127.0.0.1:7480&pathStyle=true'",
  schema: 'doctor',
});

const help = command({
  name: 'help',
  group: 'other',
  summary: 'show help, of one command if named',
  args: { words: any('COMMAND', 'such as put, or config show') },
  flags: {},
  example: 'nokv help put',
});

const version = command({
  name: 'version',
  group: 'other',
  summary: 'show the version',
  args: {},
  flags: {},
  example: 'nokv version',
  schema: 'version',
});

export const otherCommands = { configShow, doctor, help, version };
