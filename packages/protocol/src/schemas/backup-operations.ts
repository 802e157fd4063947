/** The operations of a server's operator: backups. */
import { BACKUP_DESTINATION_BYTES_MAX, NokvError } from '@nokv/types';
import { object, parsedText, tagged } from '../schema.js';
import type { ItemOf } from '../wire-operations.js';
import { stream } from './definition.js';
import { count, version } from './values.js';

type ItemFields<Kind extends ItemOf<'backup'>['kind']> = Omit<Extract<ItemOf<'backup'>, { readonly kind: Kind }>, 'kind'>;

const DIGEST = /^[0-9a-f]{64}$/;
const digest = parsedText('SHA-256 in hex', 64, (text) => {
  if (!DIGEST.test(text)) throw new NokvError('invalid-argument', `expected 64 hex digits, found ${JSON.stringify(text)}`);
  return text;
});
const destination = parsedText('URL', BACKUP_DESTINATION_BYTES_MAX, (text) => {
  if (text === '') throw new NokvError('invalid-argument', 'expected a destination as file:///dir or s3://bucket/prefix, found none');
  return text;
});

export const backupDefinition = stream(
  'backup',
  144,
  { destination },
  tagged<ItemOf<'backup'>>({
    progress: object<ItemFields<'progress'>>({ rows: count, bytes: count }),
    done: object<ItemFields<'done'>>({ version, rows: count, bytes: count, blocks: count, digest }),
  }),
);
