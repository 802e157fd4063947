/**
 * Schemas: each says once how a value is written, read and described.
 *
 * A `Schema<T>` is invariant in T, so that assigning one to a type of `@nokv/types` compiles only when the two agree in
 * every field. Reading checks everything (bounds, unknown fields by name, order); what is read is typed. Writing checks
 * numbers and lengths too, so that a bad argument is refused before it is sent. `shape` feeds the digest of the
 * protocol.
 *
 * Objects are maps with the names of their fields in the order of the schema; absent optional fields are left out.
 */
import { NokvError } from '@nokv/types';
import { MessageReader } from './message-reader.js';
import { MessageWriter } from './message-writer.js';

export type Shape = string | number | boolean | null | readonly Shape[] | { readonly [key: string]: Shape };

export interface Schema<T> {
  readonly shape: Shape;
  readonly write: (to: MessageWriter, value: T) => void;
  readonly read: (from: MessageReader) => T;
}

export interface OptionalSchema<T> {
  readonly optional: true;
  readonly schema: Schema<T>;
}

/** One schema for each field of T, optional where the field is. */
export type Fields<T> = {
  readonly [K in keyof T]-?: {} extends Pick<T, K> ? OptionalSchema<Exclude<T[K], undefined>> : Schema<T[K]>;
};

export function optional<T>(schema: Schema<T>): OptionalSchema<T> {
  return { optional: true, schema };
}

export const boolean: Schema<boolean> = {
  shape: 'boolean',
  write: (to, value) => to.boolean(value),
  read: (from) => from.boolean(),
};

/** A safe integer between two bounds, branded as the caller says. */
export function int<T extends number = number>(min: number, max: number = Number.MAX_SAFE_INTEGER): Schema<T> {
  const check = (value: number, fail: (what: string) => NokvError): void => {
    if (!(value >= min && value <= max)) throw fail(`expected an integer from ${min} to ${max}, found ${String(value)}`);
  };
  return {
    shape: { int: [min, max] },
    write: (to, value) => {
      check(value, unsendable);
      to.int(value);
    },
    read: (from) => {
      const value = from.int();
      if (!(value >= min && value <= max)) check(value, (what) => from.invalid(what));
      return value as T;
    },
  };
}

/** Text of at most so many bytes of UTF-8. */
export function text(bytesMax: number): Schema<string> {
  return {
    shape: { text: bytesMax },
    write: (to, value) => {
      if (typeof value !== 'string') throw unsendable(`expected text, found ${typeof value}`);
      if (value.length * 3 > bytesMax && Buffer.byteLength(value) > bytesMax) {
        throw unsendable(`expected at most ${bytesMax} bytes of text, found ${Buffer.byteLength(value)}`);
      }
      to.string(value);
    },
    read: (from) => from.string(bytesMax),
  };
}

/** Text that one of the constructors of ids takes. */
export function parsedText<T extends string>(name: string, bytesMax: number, parse: (value: string) => T): Schema<T> {
  return {
    shape: { id: name },
    write: (to, value) => to.string(parse(value)),
    read: (from) => {
      const value = from.string(bytesMax);
      try {
        return parse(value);
      } catch (error) {
        throw error instanceof NokvError ? from.invalid(error.message) : error;
      }
    },
  };
}

/** Bytes, copied when read. */
export function bytes(min: number, max: number): Schema<Uint8Array> {
  const fits = (length: number): boolean => length >= min && length <= max;
  return {
    shape: { bytes: [min, max] },
    write: (to, value) => {
      if (!(value instanceof Uint8Array)) throw unsendable(`expected bytes, found ${typeof value}`);
      if (!fits(value.length)) throw unsendable(`expected ${min} to ${max} bytes, found ${value.length}`);
      to.binary(value);
    },
    read: (from) => {
      const value = from.binary(max);
      if (!fits(value.length)) throw from.invalid(`expected ${min} to ${max} bytes, found ${value.length}`);
      return value;
    },
  };
}

/** One of some words, written as the word. */
export function choice<const T extends string>(words: readonly T[]): Schema<T> {
  return {
    shape: { choice: words },
    write: (to, value) => {
      if (!words.includes(value)) throw unsendable(`expected one of ${words.join(', ')}, found ${String(value)}`);
      to.string(value);
    },
    read: (from) => {
      const found = from.string(64);
      const word = words.find((candidate) => candidate === found);
      if (word === undefined) throw from.invalid(`expected one of ${words.join(', ')}, found ${JSON.stringify(found)}`);
      return word;
    },
  };
}

/** One of some words, written as its place in the list. */
export function coded<const T extends string>(words: readonly T[]): Schema<T> {
  return {
    shape: { coded: words },
    write: (to, value) => {
      const code = words.indexOf(value);
      if (code < 0) throw unsendable(`expected one of ${words.join(', ')}, found ${String(value)}`);
      to.int(code);
    },
    read: (from) => {
      const code = from.int();
      const word = words[code];
      if (word === undefined) throw from.invalid(`expected a code from 0 to ${words.length - 1}, found ${code}`);
      return word;
    },
  };
}

export function list<T>(item: Schema<T>, max: number): Schema<readonly T[]> {
  return {
    shape: { list: item.shape, max },
    write: (to, value) => {
      if (value.length > max) throw unsendable(`expected at most ${max} items, found ${value.length}`);
      to.arrayHeader(value.length);
      for (const each of value) item.write(to, each);
    },
    read: (from) => {
      const length = from.arrayHeader();
      if (length > max) throw from.invalid(`expected at most ${max} items, found ${length}`);
      const items: T[] = [];
      for (let i = 0; i < length; i++) items.push(item.read(from));
      return items;
    },
  };
}

export interface ObjectOptions {
  /** Step over unknown fields at the end: only for the hello, whose reader may be older than its writer. */
  readonly lenient?: boolean;
}

/** A map with the fields of T in the order given here. */
export function object<T extends object>(fields: Fields<T>, options: ObjectOptions = {}): Schema<T> {
  const plans = Object.entries(fields as Record<string, Schema<unknown> | OptionalSchema<unknown>>).map(planOf);
  const optionals = plans.some((plan) => plan.isOptional);
  return {
    shape: plans.map((plan) => [plan.isOptional ? `${plan.name}?` : plan.name, plan.schema.shape]),
    write: (to, value) => {
      const record = value as Record<string, unknown>;
      let count = plans.length;
      if (optionals) for (const plan of plans) if (plan.isOptional && record[plan.name] === undefined) count -= 1;
      to.mapHeader(count);
      for (const plan of plans) {
        const field = record[plan.name];
        if (field === undefined) {
          if (plan.isOptional) continue;
          throw unsendable(`field "${plan.name}" is missing`);
        }
        to.encoded(plan.key);
        plan.schema.write(to, field);
      }
    },
    read: (from) => {
      let left = from.mapHeader();
      const record: Record<string, unknown> = {};
      for (const plan of plans) {
        if (left > 0 && from.skipIfEqual(plan.key)) {
          from.field = plan.name;
          record[plan.name] = plan.schema.read(from);
          left -= 1;
        } else if (!plan.isOptional) {
          throw refuseField(from, left, plans, plan.name);
        }
      }
      for (; left > 0; left--) {
        if (options.lenient !== true) throw refuseField(from, left, plans, undefined);
        from.string(256);
        from.skip();
      }
      return record as T;
    },
  };
}

interface FieldPlan {
  readonly name: string;
  readonly key: Uint8Array;
  readonly isOptional: boolean;
  readonly schema: Schema<unknown>;
}

function planOf([name, field]: [string, Schema<unknown> | OptionalSchema<unknown>]): FieldPlan {
  const key = new MessageWriter(1024);
  key.string(name);
  return 'optional' in field
    ? { name, key: key.take(), isOptional: true, schema: field.schema }
    : { name, key: key.take(), isOptional: false, schema: field };
}

/** Names what is wrong with the next field: unknown, out of order or twice, or another is missing. */
function refuseField(from: MessageReader, left: number, plans: readonly FieldPlan[], missing: string | undefined): NokvError {
  const known = plans.map((plan) => plan.name).join(', ');
  if (left === 0) return invalidField(missing ?? '', `field "${missing}" is missing; expected the fields ${known}`);
  const name = from.string(256);
  if (!plans.some((plan) => plan.name === name)) {
    return invalidField(name, `field "${name}" is unknown; expected the fields ${known}`);
  }
  return missing === undefined
    ? invalidField(name, `field "${name}" comes twice or out of order; expected the order ${known}`)
    : invalidField(missing, `field "${missing}" is missing or "${name}" comes before its turn; expected the order ${known}`);
}

function invalidField(field: string, message: string): NokvError {
  return new NokvError('invalid-argument', message, { details: { field } });
}

/** A union that says by its `kind` which it is; written as an array of the kind and the fields. */
export function tagged<T extends { readonly kind: string }>(members: {
  readonly [K in T['kind']]: Schema<Omit<Extract<T, { readonly kind: K }>, 'kind'>>;
}): Schema<T> {
  const schemas = new Map(Object.entries(members) as [string, Schema<unknown>][]);
  const kinds = [...schemas.keys()].join(', ');
  return {
    shape: { tagged: Object.fromEntries([...schemas].map(([kind, schema]) => [kind, schema.shape])) },
    write: (to, value) => {
      const schema = schemas.get(value.kind);
      if (schema === undefined) throw unsendable(`expected a kind of ${kinds}, found ${String(value.kind)}`);
      to.arrayHeader(2);
      to.string(value.kind);
      schema.write(to, value);
    },
    read: (from) => {
      if (from.arrayHeader() !== 2) throw from.invalid('expected a kind and its fields');
      const kind = from.string(64);
      const schema = schemas.get(kind);
      if (schema === undefined) throw from.invalid(`expected a kind of ${kinds}, found ${JSON.stringify(kind)}`);
      return { kind, ...(schema.read(from) as object) } as T;
    },
  };
}

/** A value that cannot be sent as it is: the caller's mistake, found before anything left. */
export function unsendable(what: string): NokvError {
  return new NokvError('invalid-argument', what);
}
