/**
 * Which entries of a tree take part: by globs over the path below the top. A glob without `/` means the last name at any
 * depth, one that ends in `/` only directories. What an exclude matches is left out, with all below it, unless an include
 * matches it too; where there are includes alone, files that match none are left out.
 */
import { compileGlob } from '@nokv/agent/glob';
import { NokvError } from '@nokv/types';

export interface PathFilter {
  /** @param path below the top, as text, without a leading "/". */
  takes(path: string, isDirectory: boolean): boolean;
}

interface Glob {
  readonly onlyDirectories: boolean;
  test(path: string): boolean;
}

const GLOBS_MAX = 1000;

/** Undefined when everything takes part. */
export function pathFilter(options: {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}): PathFilter | undefined {
  const include = globs(options.include ?? [], 'include');
  const exclude = globs(options.exclude ?? [], 'exclude');
  if (include.length === 0 && exclude.length === 0) return undefined;
  return {
    takes(path, isDirectory) {
      const matches = ({ onlyDirectories, test }: Glob) => (!onlyDirectories || isDirectory) && test(path);
      if (exclude.some(matches)) return include.some(matches);
      return isDirectory || include.length === 0 || exclude.length > 0 || include.some(matches);
    },
  };
}

function globs(texts: readonly string[], argument: string): Glob[] {
  if (texts.length > GLOBS_MAX)
    throw new NokvError('invalid-argument', `${argument}: expected at most ${GLOBS_MAX} globs, found ${texts.length}`);
  return texts.map((text) => {
    const onlyDirectories = text.endsWith('/');
    const bare = onlyDirectories ? text.slice(0, -1) : text;
    if (bare === '' || bare === '/') throw new NokvError('invalid-argument', `${argument}: expected a glob, found ${JSON.stringify(text)}`);
    const pattern = compileGlob(bare.includes('/') ? bare.replace(/^\//, '') : `**/${bare}`, { argument });
    return { onlyDirectories, test: (path) => pattern.test(path) };
  });
}
