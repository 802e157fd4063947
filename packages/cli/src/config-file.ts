/** The configuration file: one JSON object of settings, refused with line and column when it is anything else. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { NokvError } from '@nokv/types';
import { didYouMean } from './did-you-mean.js';

export interface ConfigFile {
  readonly path: string;
  /** Values as text, as they would be written behind a flag. */
  readonly values: Readonly<Record<string, string>>;
}

const CONFIG_BYTES_MAX = 1024 * 1024;

export function readConfigFile(path: string, cwd: string, keys: readonly string[]): ConfigFile {
  const full = resolve(cwd, path);
  return { path: full, values: parseConfig(readText(full), full, keys) };
}

export function parseConfig(text: string, path: string, keys: readonly string[]): Record<string, string> {
  const parsed = parseJson(text, path);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw bad(`${path}: expected one JSON object such as {"server": "127.0.0.1:7777"}, found ${describe(parsed)}`);
  }
  const values: Record<string, string> = {};
  for (const [key, found] of Object.entries(parsed)) {
    if (!keys.includes(key)) {
      throw bad(`${path}${position(text, text.indexOf(JSON.stringify(key)))}: unknown setting "${key}"${didYouMean(key, keys)}`);
    }
    if (typeof found !== 'string' && typeof found !== 'number' && typeof found !== 'boolean') {
      throw bad(`${path}${position(text, text.indexOf(JSON.stringify(key)))}: expected text for "${key}", found ${describe(found)}`);
    }
    values[key] = String(found);
  }
  return values;
}

function readText(path: string): string {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > CONFIG_BYTES_MAX)
      throw bad(`${path}: a configuration file has at most ${CONFIG_BYTES_MAX} bytes, found ${bytes.length}`);
    return bytes.toString('utf8');
  } catch (error) {
    if (error instanceof NokvError) throw error;
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    const what = reason === 'ENOENT' ? 'no such file' : reason === 'EISDIR' ? 'is a directory' : reason;
    throw bad(`${path}: cannot read the configuration: ${what}; correct --config or NOKV_CONFIG`, error);
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const at = findMistake(text);
    throw bad(
      `${path}${position(text, at)}: not valid JSON: ${at >= text.length ? 'it ends too early' : `unexpected ${JSON.stringify(text[at])}`}`,
      error,
    );
  }
}

/**
 * Where JSON stops being JSON: the length of the longest prefix that some document begins with. Engines word their
 * own messages differently from version to version, so the position is found here.
 */
export function findMistake(text: string): number {
  const scanner = new JsonScanner(text);
  scanner.document();
  return scanner.at;
}

/** Walks JSON by its grammar (RFC 8259) and stops at the first character that does not fit. */
class JsonScanner {
  at = 0;
  constructor(private readonly text: string) {}

  document(): boolean {
    if (!this.item(0)) return false;
    this.space();
    return this.at === this.text.length;
  }

  private item(depth: number): boolean {
    this.space();
    const first = this.text[this.at];
    // Deeper than any configuration; the caller reports this position.
    if (depth > 100) return false;
    if (first === '{') return this.list('}', () => this.member(depth));
    if (first === '[') return this.list(']', () => this.item(depth + 1));
    if (first === '"') return this.string();
    const literal = ['true', 'false', 'null'].find((word) => word[0] === first);
    return literal === undefined ? this.number() : this.word(literal);
  }

  private list(close: string, item: () => boolean): boolean {
    this.at += 1;
    this.space();
    if (this.word(close)) return true;
    // Ends at the closing bracket or at a mistake: every round takes at least one character.
    for (;;) {
      if (!item()) return false;
      this.space();
      if (this.word(close)) return true;
      if (!this.word(',')) return false;
    }
  }

  private member(depth: number): boolean {
    this.space();
    if (this.text[this.at] !== '"' || !this.string()) return false;
    this.space();
    return this.word(':') && this.item(depth + 1);
  }

  private string(): boolean {
    this.at += 1;
    // oxlint-disable-next-line no-control-regex
    this.take(/(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y);
    // An escape that the end of the text cuts is faulted there.
    this.take(/\\(?:u[0-9a-fA-F]{0,3})?$/y);
    return this.word('"');
  }

  /** Part by part, so that a number that breaks off is faulted where it breaks off. */
  private number(): boolean {
    this.take(/-?/y);
    if (!this.take(/0|[1-9]\d*/y)) return false;
    if (this.take(/\./y) && !this.take(/\d+/y)) return false;
    return !this.take(/[eE][-+]?/y) || this.take(/\d+/y);
  }

  private word(word: string): boolean {
    for (const letter of word) {
      if (this.text[this.at] !== letter) return false;
      this.at += 1;
    }
    return true;
  }

  private take(pattern: RegExp): boolean {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match === null) return false;
    this.at += match[0].length;
    return true;
  }

  private space(): void {
    this.take(/[ \t\r\n]*/y);
  }
}

function position(text: string, at: number): string {
  if (at < 0) return '';
  const before = text.slice(0, at).split('\n');
  return `:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
}

function describe(found: unknown): string {
  return found === null ? 'null' : Array.isArray(found) ? 'an array' : typeof found === 'object' ? 'an object' : `a ${typeof found}`;
}

function bad(message: string, cause?: unknown): NokvError {
  return new NokvError('bad-configuration', message, cause === undefined ? {} : { cause });
}
