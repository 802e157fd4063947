/**
 * What a command is: one row of the table that parsing, help, completion and the reference are made from.
 * Rows are light: what a command does is loaded only when it runs.
 */
import type { CliIo } from './cli-io.js';
import type { Output } from './output.js';
import type { Settings } from './settings.js';

export type CommandGroup = 'server' | 'files' | 'history' | 'questions' | 'mount' | 'other';

export interface Command<A extends Arguments = Arguments, F extends Flags = Flags> {
  /** One word or two (`config show`). */
  readonly name: string;
  readonly group: CommandGroup;
  /** One line, without a full stop. */
  readonly summary: string;
  /** Further sentences for `help`. */
  readonly notes?: readonly string[];
  /** In the order in which they are written. */
  readonly args: A;
  readonly flags: F;
  readonly example: string;
  /** What `--json` prints: the name of a file in `schema/`, without `.json`. */
  readonly schema?: string;
}

/** One invocation: what was written, what is configured and the ends that the process hands in. */
export interface Call<A extends Arguments = Arguments, F extends Flags = Flags> {
  readonly command: string;
  readonly args: ArgumentValues<A>;
  readonly flags: FlagValues<F>;
  readonly settings: Settings;
  readonly output: Output;
  readonly io: CliIo;
  /** Fires on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** The call that a row of the table makes. */
export type CallOf<C> = C extends Command<infer A, infer F> ? Call<A, F> : never;

export type Arguments = Readonly<Record<string, Argument>>;
export type Argument =
  | { readonly arity: 'one'; readonly label: string; readonly help: string }
  | { readonly arity: 'optional'; readonly label: string; readonly help: string }
  /** One or more. */
  | { readonly arity: 'many'; readonly label: string; readonly help: string }
  /** Any number, none included. */
  | { readonly arity: 'any'; readonly label: string; readonly help: string };

export type ArgumentValues<A extends Arguments> = {
  readonly [K in keyof A]: A[K]['arity'] extends 'one' ? string : A[K]['arity'] extends 'optional' ? string | undefined : readonly string[];
};

export const one = (label: string, help: string) => ({ arity: 'one', label, help }) as const;
export const optional = (label: string, help: string) => ({ arity: 'optional', label, help }) as const;
export const many = (label: string, help: string) => ({ arity: 'many', label, help }) as const;
export const any = (label: string, help: string) => ({ arity: 'any', label, help }) as const;

/** Keys are in camel case and written in kebab case: `ifGeneration` is `--if-generation`. */
export type Flags = Readonly<Record<string, Flag<unknown>>>;

export interface Flag<T> {
  readonly short?: string;
  /** How its value is shown in help; absent for a switch. */
  readonly label?: string;
  /** Its value where it is written without one; another one then needs `=`. */
  readonly bare?: string;
  readonly help: string;
  /** Given every value in the order written; a switch gives one empty text for each time it was written. */
  readonly read: (texts: readonly string[]) => T;
}

export type FlagValues<F extends Flags> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

/** A switch. */
export function toggle(help: string, short?: string): Flag<boolean> {
  return { help, read: (texts) => texts.length > 0, ...(short === undefined ? {} : { short }) };
}

/** A flag with a value; the last one written counts. */
export function value<T>(label: string, help: string, parse: (text: string) => T, short?: string): Flag<T | undefined> {
  const read = (texts: readonly string[]) => {
    const last = texts.at(-1);
    return last === undefined ? undefined : parse(last);
  };
  return { label, help, read, ...(short === undefined ? {} : { short }) };
}

/** A switch that may be given a value: `--name` or `--name=VALUE`. */
export function switchOrValue<T>(label: string, help: string, bare: string, parse: (text: string) => T): Flag<T | undefined> {
  return { ...value(label, help, parse), bare };
}

/** A flag that may be written more than once. */
export function values<T>(label: string, help: string, parse: (text: string) => T, short?: string): Flag<readonly T[]> {
  return { label, help, read: (texts) => texts.map(parse), ...(short === undefined ? {} : { short }) };
}

/** Keeps the types of a row's arguments and flags. */
export function command<A extends Arguments, F extends Flags>(row: Command<A, F>): Command<A, F> {
  return row;
}

/** A row with what it does, its types put aside so that rows of all kinds fit one table. */
export interface AnyCommand extends Command {
  readonly load: () => Promise<(call: never) => Promise<void>>;
}

/** Ties a row to the function that does it, which is loaded when it runs. */
export function runs<A extends Arguments, F extends Flags>(
  row: Command<A, F>,
  load: () => Promise<(call: Call<A, F>) => Promise<void>>,
): AnyCommand {
  return { ...row, load };
}

export function flagName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
