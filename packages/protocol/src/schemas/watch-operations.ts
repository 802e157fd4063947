/** The operations on changes with their paths. */
import { PATH_CHANGES_LIMIT_MAX, WHOLE_VERSION } from '@nokv/types';
import { boolean, int, list, object, optional, tagged } from '../schema.js';
import { WATCH_EVENTS_MAX, type AnswerOf, type ItemOf } from '../wire-operations.js';
import { read, stream } from './definition.js';
import { changeCursor, changeFilter, changeRoot, pathChange } from './path-changes.js';

/** A page that shows versions whole may pass its limit by the changes of one. */
const PATH_CHANGES_PAGE_MAX = PATH_CHANGES_LIMIT_MAX + WHOLE_VERSION;

export const pathChangesDefinition = read(
  'path-changes',
  20,
  {
    root: changeRoot,
    filter: optional(changeFilter),
    from: optional(changeCursor),
    descending: optional(boolean),
    limit: int(1, PATH_CHANGES_LIMIT_MAX),
  },
  object<AnswerOf<'path-changes'>>({ changes: list(pathChange, PATH_CHANGES_PAGE_MAX), next: changeCursor, more: boolean }),
);

type ItemFields<Kind extends ItemOf<'watch-path'>['kind']> = Omit<Extract<ItemOf<'watch-path'>, { readonly kind: Kind }>, 'kind'>;

export const watchPathDefinition = stream(
  'watch-path',
  130,
  { root: changeRoot, filter: optional(changeFilter), since: optional(changeCursor) },
  tagged<ItemOf<'watch-path'>>({
    events: object<ItemFields<'events'>>({ events: list(pathChange, WATCH_EVENTS_MAX), at: changeCursor }),
    position: object<ItemFields<'position'>>({ root: changeRoot, at: changeCursor }),
  }),
);
