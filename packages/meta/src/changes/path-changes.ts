/** One page of the changes below a root, oldest or newest first, for listings of what happened. */
import {
  NokvError,
  PATH_CHANGES_LIMIT_MAX,
  PATH_CHANGES_ROWS_MAX,
  wholeVersion,
  type ChangeRecord,
  type PathChange,
  type PathChangesArgs,
  type PathChangesResult,
  type Version,
} from '@nokv/types';
import { changeScope, type ChangeScope } from './change-scope.js';
import { isWatchable } from '../evaluated-batch.js';
import { DirectoryPaths } from './directory-paths.js';
import { changeKey, parseChangeKey } from '../key.js';
import { PathLog, locate, refuseForgotten, type PathLogOptions } from './path-log.js';
import { decodeChange } from '../value-log.js';

export function pathChanges(options: PathLogOptions, args: PathChangesArgs): PathChangesResult {
  const { limit, descending, from } = args;
  if (!Number.isInteger(limit) || limit < 1 || limit > PATH_CHANGES_LIMIT_MAX) {
    throw new NokvError('invalid-argument', `a page holds 1 to ${PATH_CHANGES_LIMIT_MAX} changes, found limit ${limit}`);
  }
  const scope = changeScope(args.root, args.filter ?? {});
  return descending === true ? newestFirst(options, scope, from?.version, limit) : oldestFirst(options, scope, args);
}

function oldestFirst(options: PathLogOptions, scope: ChangeScope, { from, limit }: PathChangesArgs): PathChangesResult {
  const log = new PathLog(from ?? wholeVersion(options.bounds().forgotten), options);
  const changes: PathChange[] = [];
  const isCurrent = log.scan(PATH_CHANGES_ROWS_MAX, (located) => {
    const seen = scope.see(located, log.paths);
    if (seen !== undefined) changes.push(seen);
    return changes.length < limit;
  });
  return { changes, next: log.at, more: !isCurrent };
}

/** Versions are read whole, since their changes are located in order: a page may pass its limit by those of one version. */
function newestFirst(options: PathLogOptions, scope: ChangeScope, before: Version | undefined, limit: number): PathChangesResult {
  const { kv, root, bounds, directoriesMax } = options;
  const { newest, forgotten } = bounds();
  const end = before === undefined || before > newest ? ((newest + 1) as Version) : before;
  if (before !== undefined) refuseForgotten(wholeVersion((before - 1) as Version), forgotten, newest);
  const paths = new DirectoryPaths(kv, root, directoriesMax);
  const changes: PathChange[] = [];
  let group: ChangeRecord[] = [];
  let groupVersion = end;
  let rows = 0;
  const show = (): void => {
    paths.forgetAll();
    const seen = group.toReversed().map((change) => scope.see(locate(change, paths, kv), paths));
    for (const change of seen.toReversed()) if (change !== undefined) changes.push(change);
    group = [];
  };
  const range = kv.range(changeKey((forgotten + 1) as Version, 0), changeKey(end, 0), { reverse: true });
  for (const { key, value } of range) {
    const { version, ordinal } = parseChangeKey(key);
    if (version !== groupVersion) {
      show();
      if (changes.length >= limit || rows >= PATH_CHANGES_ROWS_MAX) return { changes, next: wholeVersion(groupVersion), more: true };
      groupVersion = version;
    }
    rows += 1;
    const change = decodeChange(version, ordinal, value);
    if (isWatchable(change)) group.push(change);
  }
  show();
  return { changes, next: wholeVersion((forgotten + 1) as Version), more: false };
}
