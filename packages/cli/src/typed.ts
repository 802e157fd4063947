/** Paths and moments as a person types them into a shell: what commands print as the next thing to do can be pasted. */
import { printable } from './printable.js';

/** What needs no quotes in a POSIX shell. */
const PLAIN = /^[\w@%+=:,./-]+$/;
/** What would be read as a moment behind a path. */
const LIKE_A_MOMENT = /@(\d+|v\d+|tag:[^/@]+|snap:[^/@]*|version:[^/@]*)$/;

/** A path as `showPath` gives it, and a moment behind it if there is one. */
export function typed(path: string, moment?: string): string {
  const name = path.replace(LIKE_A_MOMENT, String.raw`\x40$1`);
  return shellWord(printable(moment === undefined ? name : `${name}@${moment}`));
}

/** One word of a shell. */
export function shellWord(text: string): string {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
