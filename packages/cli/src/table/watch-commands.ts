/** What happens to the namespace, as it happens. */
import { CHANGE_KINDS, type ChangeKind } from '@nokv/types';
import { command, one, toggle, value, values } from '../command.js';
import { parseChoice, parseInteger, parseText } from '../quantities.js';

const parseKind = parseChoice(...CHANGE_KINDS);
const parseKinds = (text: string): readonly ChangeKind[] => text.split(',').map(parseKind);

const watch = command({
  name: 'watch',
  group: 'history',
  summary: 'show changes at and below a path as they happen',
  notes: [
    'Each change is one line: time, kind, path, generation, actor. Paths are those at the change, whatever was renamed since.',
    'A rename shows both places; what came from or went outside the path shows only the one that is inside. A directory that moves is one change.',
    'At the end the cursor is printed on stderr; --since goes on there without gap or repeat. A cursor that is older than what the server keeps is refused with the one to go on from after the tree was read again.',
    `Kinds: ${CHANGE_KINDS.join(', ')}.`,
  ],
  args: { path: one('PATH', 'remote file or directory; it must be there, unless --since is given') },
  flags: {
    since: value('CURSOR', 'Changes after this cursor, or after this version; default: from now on', parseText),
    kinds: value('KINDS', 'Only these kinds, separated by commas', parseKinds),
    actor: values('ACTOR', 'Only changes by this actor, "cli:*" for any that begins so; repeatable', parseText),
    exceptActor: values('ACTOR', 'No changes by this actor, "cli:*" for any that begins so; repeatable', parseText),
    excludeSelf: toggle('No changes that the nokv command made (the same as --except-actor "cli:*")'),
    limit: value('N', 'End after N changes', parseInteger(1, Number.MAX_SAFE_INTEGER)),
  },
  example: 'nokv watch /runs --kinds published,removed',
  schema: 'watch-event',
});

export const watchCommands = { watch };
