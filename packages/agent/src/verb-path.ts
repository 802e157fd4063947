/** Paths as callers of verbs write them: absolute, relative to the context's root, or absent. */
import { formatName, parsePath } from '@nokv/types';
import type { VerbContext } from './budget.js';

/** The absolute path in normal form. */
export function verbPath(path: string | undefined, context: VerbContext): string {
  const root = context.root ?? '/';
  if (path === undefined || path === '' || path === '.') return formatName(parsePath(root));
  return formatName(parsePath(path.startsWith('/') ? path : `${root}/${path}`));
}

export function verbPaths(path: string | readonly string[] | undefined, context: VerbContext): string[] {
  const paths = typeof path === 'string' || path === undefined ? [path] : path;
  return paths.map((each) => verbPath(each, context));
}

export function joinChild(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`;
}
