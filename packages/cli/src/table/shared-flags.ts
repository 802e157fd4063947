/** Flags that many commands have. */
import { CODECS, CODEC_DEFAULT, requestId } from '@nokv/types';
import { switchOrValue, toggle, value } from '../command.js';
import { parseMoment } from '../moment.js';
import { parseChoice, parseInteger } from '../quantities.js';

/** Of every command that changes something. */
export const mutationFlags = {
  requestId: value('ID', 'Ask again about a command whose outcome is unknown: it takes effect at most once', requestId),
} as const;

export const transferFlags = {
  jobs: value('N', 'Transfers in flight, 1 to 256 (default 32)', parseInteger(1, 256)),
  progress: value(
    'WHEN',
    'auto: bars on a terminal, with --json an event a second on stderr; never; json: every event (schema/progress.json)',
    parseChoice('auto', 'never', 'json'),
  ),
} as const;

/** Of every command that reads. */
export const momentFlags = {
  at: value('MOMENT', 'As it was then: G, vN, tag:NAME, snap:ID, version:N or a time (RFC 3339)', parseMoment),
} as const;

export const compress = switchOrValue(
  'CODEC',
  'Store blocks that get shorter by it compressed: brotli (default), gzip; none: whatever the directory says',
  CODEC_DEFAULT,
  parseChoice(...CODECS, 'none'),
);

export const recursive = toggle('Directories with all that is below them', 'r');
