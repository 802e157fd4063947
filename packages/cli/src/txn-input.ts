/** What `txn` reads: operations as JSON, refused by line or place and member before anything is sent. */
import { resolve } from 'node:path';
import type { Transaction } from '@nokv/client';
import { INODE_TYPES, NokvError, generation, inodeNumber, timespecFromMs, type InodeType, type Timespec } from '@nokv/types';
import { didYouMean } from './did-you-mean.js';
import { parseMode } from './quantities.js';
import { remotePath } from './remote-path.js';

/** An operation and where it was written, for messages. */
export interface WrittenOperation {
  readonly where: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export const TXN_BYTES_MAX = 8 * 1024 * 1024;

/** A JSON array of objects, or one object a line. */
export function parseOperations(text: string): WrittenOperation[] {
  if (text.trimStart().startsWith('[')) {
    const list = parseJson(text, 'the list');
    if (!Array.isArray(list)) throw bad('expected a JSON array of operations');
    return list.map((value, at) => operation(value, `operation ${at}`));
  }
  const written: WrittenOperation[] = [];
  for (const [at, line] of text.split('\n').entries()) {
    if (line.trim() !== '') written.push(operation(parseJson(line, `line ${at + 1}`), `line ${at + 1}`));
  }
  return written;
}

/** @param directory that `file` members are relative to. */
export function addOperation(to: Transaction, { where, fields }: WrittenOperation, directory: string): void {
  const members = new Members(where, fields);
  const op = members.text('op');
  const add = Object.hasOwn(OPERATIONS, op) ? OPERATIONS[op as keyof typeof OPERATIONS] : undefined;
  if (add === undefined) throw bad(`${where}: unknown operation "${op}"${didYouMean(op, Object.keys(OPERATIONS))}`);
  const finish = add(members, directory);
  members.finish(op);
  finish(to);
}

/** Each takes the members of one operation and says how it is added. */
const OPERATIONS = {
  require: (m) => {
    const path = m.path('path');
    const found = m.optional('generation', number);
    const ino = m.optional('ino', number);
    const requirement = {
      exists: m.optional('exists', flag),
      type: m.optional('type', inodeType),
      ino: ino === undefined ? undefined : inodeNumber(ino),
      revision: m.optional('revision', number),
      generation: found === undefined ? undefined : generation(found),
      digest: m.optional('digest', text),
      empty: m.optional('empty', flag),
      follow: m.optional('follow', flag),
    };
    return (to) => to.require(path, requirement);
  },
  mkdir: (m) => {
    const path = m.path('path');
    const options = m.defined({ mode: m.optional('mode', octal), parents: m.optional('parents', flag) });
    return (to) => to.mkdir(path, options);
  },
  create: (m) => {
    const path = m.path('path');
    const options = m.defined({ mode: m.optional('mode', octal), exclusive: m.optional('exclusive', flag) });
    return (to) => to.create(path, options);
  },
  put: (m, directory) => {
    const path = m.path('path');
    const file = m.optional('file', text);
    const source = m.oneOf({
      text: m.optional('text', text),
      base64: m.optional('base64', base64),
      file: file === undefined ? undefined : { file: resolve(directory, file) },
    });
    const options = {
      mode: m.optional('mode', octal),
      parents: m.optional('parents', flag),
      contentType: m.optional('contentType', text),
      producer: m.optional('producer', text),
      ifGeneration: m.optional('ifGeneration', number),
      ifDigest: m.optional('ifDigest', text),
    };
    return (to) => to.put(path, source, options);
  },
  symlink: (m) => {
    const [target, path] = [m.text('target'), m.path('path')];
    return (to) => to.symlink(target, path);
  },
  link: (m) => {
    const [existing, path] = [m.path('existing'), m.path('path')];
    return (to) => to.link(existing, path);
  },
  unlink: (m) => {
    const path = m.path('path');
    return (to) => to.unlink(path);
  },
  rmdir: (m) => {
    const path = m.path('path');
    return (to) => to.rmdir(path);
  },
  'remove-tree': (m) => {
    const path = m.path('path');
    return (to) => to.removeTree(path);
  },
  rename: (m) => {
    const [from, target] = [m.path('from'), m.path('to')];
    const mode = m.optional('mode', choice('replace', 'no-replace', 'exchange'));
    return (to) => to.rename(from, target, mode);
  },
  setattr: (m) => {
    const path = m.path('path');
    const changes = {
      mode: m.optional('mode', octal),
      uid: m.optional('uid', number),
      gid: m.optional('gid', number),
      size: m.optional('size', number),
      atime: m.optional('atime', time),
      mtime: m.optional('mtime', time),
    };
    const follow = m.defined({ follow: m.optional('follow', flag) });
    return (to) => to.setattr(path, changes, follow);
  },
  'xattr-set': (m) => {
    const [path, name] = [m.path('path'), m.text('name')];
    const value = m.oneOf({ value: m.optional('value', text), base64: m.optional('base64', base64) });
    const mode = m.optional('mode', choice('set', 'create', 'replace'));
    return (to) => to.setXattr(path, name, value, mode);
  },
  'xattr-remove': (m) => {
    const [path, name] = [m.path('path'), m.text('name')];
    return (to) => to.removeXattr(path, name);
  },
} satisfies Record<string, (members: Members, directory: string) => (to: Transaction) => unknown>;

type Parse<T> = (value: unknown) => T | undefined;

/** Members of one object; those that nobody took are refused by name. */
class Members {
  readonly #where: string;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #known = new Set<string>(['op']);

  constructor(where: string, fields: Readonly<Record<string, unknown>>) {
    this.#where = where;
    this.#fields = fields;
  }

  text(name: string): string {
    return this.#must(name, this.optional(name, text));
  }

  path(name: string): Uint8Array {
    const written = this.text(name);
    try {
      return remotePath(written);
    } catch (error) {
      throw bad(`${this.#where}: ${name}: ${(error as Error).message}`, error);
    }
  }

  optional<T>(name: string, parse: Parse<T>): T | undefined {
    this.#known.add(name);
    const found = this.#fields[name];
    if (found === undefined) return undefined;
    let parsed: T | undefined;
    try {
      parsed = parse(found);
    } catch (error) {
      throw bad(`${this.#where}: ${name}: ${(error as Error).message}`, error);
    }
    if (parsed === undefined) throw bad(`${this.#where}: ${name}: ${JSON.stringify(found)?.slice(0, 80)} is no value of it`);
    return parsed;
  }

  oneOf<T>(candidates: Readonly<Record<string, T | undefined>>): T {
    const given = Object.values(candidates).filter((value): value is T & {} => value !== undefined);
    const [first] = given;
    if (first === undefined || given.length > 1) {
      throw bad(`${this.#where}: expected exactly one of ${Object.keys(candidates).join(', ')}, found ${given.length}`);
    }
    return first;
  }

  /** Leaves out what is undefined. */
  defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
    return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as never;
  }

  finish(op: string): void {
    for (const name of Object.keys(this.#fields)) {
      if (!this.#known.has(name)) throw bad(`${this.#where}: ${op} has no member "${name}"${didYouMean(name, this.#known)}`);
    }
  }

  #must<T>(name: string, value: T | undefined): T {
    if (value === undefined) throw bad(`${this.#where}: member "${name}" is missing`);
    return value;
  }
}

const text: Parse<string> = (value) => (typeof value === 'string' ? value : undefined);
const number: Parse<number> = (value) => (Number.isSafeInteger(value) ? (value as number) : undefined);
const flag: Parse<boolean> = (value) => (typeof value === 'boolean' ? value : undefined);
const octal: Parse<number> = (value) => (typeof value === 'string' ? parseMode(value) : undefined);
const inodeType: Parse<InodeType> = (value) => INODE_TYPES.find((type) => type === value);
const base64: Parse<Uint8Array> = (value) => {
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(value) || value.length % 4 !== 0) return undefined;
  return Buffer.from(value, 'base64');
};
const time: Parse<Timespec | 'now'> = (value) => {
  if (value === 'now') return 'now';
  const ms = typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(ms) ? undefined : timespecFromMs(ms);
};

function choice<const T extends string>(...words: readonly T[]): Parse<T> {
  return (value) => words.find((word) => word === value);
}

function operation(value: unknown, where: string): WrittenOperation {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad(`${where}: expected an object such as {"op":"unlink","path":"/a"}`);
  }
  return { where, fields: value as Record<string, unknown> };
}

function parseJson(written: string, where: string): unknown {
  try {
    return JSON.parse(written);
  } catch (error) {
    throw bad(`${where}: not valid JSON: ${(error as Error).message}`, error);
  }
}

function bad(message: string, cause?: unknown): NokvError {
  return new NokvError('invalid-argument', message, cause === undefined ? {} : { cause });
}
