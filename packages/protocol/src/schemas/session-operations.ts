/** The operations of sessions: what is held under them and how they end. */
import { requestId, type SessionMutationOperations, type SessionReadOperations } from '@nokv/types';
import { boolean, int, list, object, optional, parsedText, tagged, text } from '../schema.js';
import type { AnswerOf, ItemOf, WireMutationResult } from '../wire-operations.js';
import { mutation, read, stream, type OperationDefinition } from './definition.js';
import {
  LOCKS_LISTED_MAX,
  SESSIONS_LISTED_MAX,
  lockFields,
  lockHolder,
  session,
  sessionCard,
  sessionName,
  sessionTtl,
  unlockFields,
} from './sessions.js';
import { REQUEST_ID_BYTES_MAX, attributes, callerIds, inodeNumber, label, nodeRef, timespec, version } from './values.js';

const lease = object<WireMutationResult<'open-session'>>({ session, expiresAt: timespec });
const locked = object<WireMutationResult<'lock'>>({ ino: inodeNumber });

export const sessionReadDefinitions: { readonly [Op in keyof SessionReadOperations]: OperationDefinition<Op> } = {
  'test-lock': read('test-lock', 29, lockFields, object<AnswerOf<'test-lock'>>({ holder: optional(lockHolder) })),
  'list-locks': read(
    'list-locks',
    30,
    { node: nodeRef },
    object<AnswerOf<'list-locks'>>({ ino: inodeNumber, locks: list(lockHolder, LOCKS_LISTED_MAX) }),
  ),
  'list-sessions': read(
    'list-sessions',
    31,
    { after: optional(session), limit: int(1, SESSIONS_LISTED_MAX) },
    object<AnswerOf<'list-sessions'>>({ sessions: list(sessionCard, SESSIONS_LISTED_MAX), more: boolean }),
  ),
};

export const sessionMutationDefinitions: { readonly [Op in keyof SessionMutationOperations]: OperationDefinition<Op> } = {
  'open-session': mutation('open-session', 72, { name: sessionName, ttlMs: sessionTtl }, lease),
  'renew-session': mutation('renew-session', 73, { session, ttlMs: sessionTtl }, lease),
  'close-session': mutation('close-session', 74, { session }, object<WireMutationResult<'close-session'>>({ session })),
  lock: mutation('lock', 75, lockFields, locked),
  unlock: mutation('unlock', 76, unlockFields, locked),
  'open-handle': mutation(
    'open-handle',
    77,
    { node: nodeRef, follow: optional(boolean), session },
    object<WireMutationResult<'open-handle'>>({ attributes }),
  ),
  'close-handle': mutation(
    'close-handle',
    78,
    { ino: inodeNumber, session },
    object<WireMutationResult<'close-handle'>>({ ino: inodeNumber, removed: boolean }),
  ),
};

type ItemFields<Kind extends ItemOf<'lock-wait'>['kind']> = Omit<Extract<ItemOf<'lock-wait'>, { readonly kind: Kind }>, 'kind'>;

/** For people, as long as an error's message may be. */
const WHY_BYTES_MAX = 16 * 1024;

export const lockWaitDefinition = stream(
  'lock-wait',
  136,
  { ...lockFields, requestId: parsedText('request', REQUEST_ID_BYTES_MAX, requestId), actor: label, caller: optional(callerIds) },
  tagged<ItemOf<'lock-wait'>>({
    waiting: object<ItemFields<'waiting'>>({ why: text(WHY_BYTES_MAX) }),
    locked: object<ItemFields<'locked'>>({ version, ino: inodeNumber }),
  }),
);
