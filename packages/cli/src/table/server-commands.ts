import { command } from '../command.js';
import { SERVER_SETTINGS, settingFlags } from '../settings.js';

const serve = command({
  name: 'serve',
  group: 'server',
  summary: 'run a server',
  notes: [
    'With nothing given it keeps metadata and bodies under ./.nokv and listens on loopback only.',
    'Ctrl-C finishes what is in flight and stops; a second Ctrl-C stops at once.',
    'Credentials of a bucket come from the usual AWS environment or profile, never from the URL.',
  ],
  args: {},
  flags: { ...settingFlags(SERVER_SETTINGS) },
  example: "nokv serve --data /var/lib/nokv --object 's3://bucket/prefix?endpoint=http://127.0.0.1:7480&region=us-east-1&pathStyle=true'",
  schema: 'serve-ready',
});

export const serverCommands = { serve };
