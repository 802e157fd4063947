/** Commands over lists of changes. */
import { command, one } from '../command.js';
import { mutationFlags } from './shared-flags.js';

const txn = command({
  name: 'txn',
  group: 'files',
  summary: 'make several changes together: all of them as one version, or none',
  notes: [
    'FILE is a JSON array or JSON lines, one operation each, in order; later ones see what earlier ones did.',
    '`{"op":"require","path":P}` says what must hold before all of them: `exists` (default true), `type`, `ino`, `revision`, `generation`, `digest`, `empty`, `follow`.',
    'Operations and their members, optional ones in brackets: ' +
      '`mkdir` path [mode parents]; `create` path [mode exclusive]; `put` path and one of text, base64, file [mode parents contentType producer ifGeneration ifDigest]; ' +
      '`symlink` target path; `link` existing path; `unlink`, `rmdir`, `remove-tree` path; `rename` from to [mode: replace, no-replace, exchange]; ' +
      '`setattr` path [mode uid gid size atime mtime follow]; `xattr-set` path name and one of value, base64 [mode: set, create, replace]; `xattr-remove` path name.',
    'Such a file: `{"op":"require","path":"/runs/8","exists":false}`, `{"op":"mkdir","path":"/runs/8"}` and ' +
      '`{"op":"put","path":"/runs/8/report.md","text":"# Run 8"}`, one a line.',
    'Permissions are octal text, times RFC 3339 or now. A refusal names its place, from 0: `details.index`, or `details.precondition` of a requirement.',
  ],
  args: { file: one('FILE', 'local file, or - for standard input') },
  flags: { ...mutationFlags },
  example: 'nokv txn changes.jsonl',
  schema: 'txn',
});

export const listCommands = { txn };
