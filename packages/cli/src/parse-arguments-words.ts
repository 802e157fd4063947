/**
 * What each word of the line is: a flag by its exact name, the value of the flag before it, or an argument. Nothing is
 * guessed and nothing converted; every mistake is named with its nearest neighbours.
 */
import { type Flags, flagName } from './command.js';
import { didYouMean } from './did-you-mean.js';
import type { Word } from './parse-arguments-cac.js';
import { usageError } from './usage-error.js';

/** Reads the words that surround the name of a command; `command` is absent where it is not known. */
export function readWords(words: readonly string[], flags: Flags, command: string | undefined): Word[] {
  const known = writtenNames(flags);
  const see = command === undefined ? '"nokv help"' : `"nokv help ${command}"`;
  const read: Word[] = [];
  let areFlagsOver = false;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    if (areFlagsOver || !word.startsWith('-') || word === '-') {
      read.push({ kind: 'argument', text: word });
      continue;
    }
    if (word === '--') {
      areFlagsOver = true;
      continue;
    }
    for (const { name, inline } of flagsOf(word, flags, known)) {
      const key = known.get(name);
      if (key === undefined) throw usageError(`unknown flag ${name}${didYouMean(name, known.keys())}; see ${see}`);
      const label = flags[key]?.label;
      if (label === undefined) {
        if (inline !== undefined) throw usageError(`${name} takes no value, found "${inline}"; see ${see}`);
        read.push({ kind: 'switch', key });
      } else {
        const text = inline ?? flags[key]?.bare ?? words[++at];
        const isFlag = inline === undefined && flags[key]?.bare === undefined && text !== undefined && known.has(nameOf(text));
        if (text === undefined || isFlag) throw usageError(`${name} needs a value: ${name} ${label}; see ${see}`);
        read.push({ kind: 'value', key, text });
      }
    }
  }
  return read;
}

/** Every way to write each flag, with its key; where two share a short form, the later one has it. */
export function writtenNames(flags: Flags): Map<string, string> {
  const all = new Map<string, string>();
  for (const [key, { short }] of Object.entries(flags)) {
    all.set(`--${flagName(key)}`, key);
    if (short !== undefined) all.set(`-${short}`, key);
  }
  return all;
}

/** `--name` of `--name=value`; anything else as it is. */
export function nameOf(word: string): string {
  return word.replace(/=.*$/s, '');
}

interface WrittenFlag {
  readonly name: string;
  /** The value in the same word: `--name=value`, `-nvalue`. */
  readonly inline?: string;
}

/** `-rp` is two switches; in `-rtVALUE` what follows the first flag with a value is that value. No flag is `-r-p`. */
function flagsOf(word: string, flags: Flags, known: ReadonlyMap<string, string>): WrittenFlag[] {
  if (word.startsWith('--')) {
    const equals = word.indexOf('=', '--n'.length);
    return equals < 0 ? [{ name: word }] : [{ name: word.slice(0, equals), inline: word.slice(equals + 1) }];
  }
  const letters = Array.from(word.slice(1));
  const found: WrittenFlag[] = [];
  for (const [index, letter] of letters.entries()) {
    const name = letter === '-' ? word : `-${letter}`;
    const rest = letters.slice(index + 1).join('');
    if (rest !== '' && flags[known.get(name) ?? '']?.label !== undefined) return [...found, { name, inline: rest }];
    found.push({ name });
  }
  return found;
}
