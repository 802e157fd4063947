import { command, one, toggle, value } from '../command.js';
import { parseChoice, parseDuration, parseText } from '../quantities.js';

const mount = command({
  name: 'mount',
  group: 'mount',
  summary: 'mount the namespace on a directory',
  notes: ['Returns when the mount answers; a process of its own serves it until "nokv umount DIR".'],
  args: { directory: one('DIR', 'local directory; made when it is missing') },
  flags: {
    root: value('PATH', 'Remote directory to show (default /)', parseText),
    readOnly: toggle('Refuse every change'),
    allowOther: toggle('Let other users of this machine in'),
    mode: value('MODE', 'fsync: durable at fsync and close', parseChoice('fsync')),
    foreground: toggle('Stay, and unmount on Ctrl-C'),
  },
  example: 'nokv mount ~/nokv --root /runs',
  schema: 'mount',
});

const umount = command({
  name: 'umount',
  group: 'mount',
  summary: 'write out what is pending and unmount',
  args: { directory: one('DIR', 'where it is mounted') },
  flags: {
    force: toggle('Detach even though it is in use or does not answer'),
    wait: value('D', 'Time for what is pending (default 60s)', parseDuration),
  },
  example: 'nokv umount ~/nokv',
  schema: 'mount',
});

const mountList = command({
  name: 'mount list',
  group: 'mount',
  summary: 'list the mounts of this machine',
  args: {},
  flags: {},
  example: 'nokv mount list',
  schema: 'mount',
});

export const mountCommands = { mount, umount, mountList };
