/** The seven verbs in their fixed order, and the one door through which all callers go. */
import { setMaxListeners } from 'node:events';
import type { z } from 'zod';
import type { VerbContext } from './budget.js';
import type { Plane } from './plane.js';
import { parseInput, type Verb } from './verb.js';
import { aggregateVerb } from './verbs/aggregate.js';
import { catalogVerb } from './verbs/catalog.js';
import { findVerb } from './verbs/find.js';
import { grepVerb } from './verbs/grep.js';
import { lsVerb } from './verbs/ls.js';
import { readVerb } from './verbs/read.js';
import { statVerb } from './verbs/stat.js';

export const VERBS = {
  ls: lsVerb,
  stat: statVerb,
  catalog: catalogVerb,
  find: findVerb,
  aggregate: aggregateVerb,
  read: readVerb,
  grep: grepVerb,
} as const;

/** More than any verb has calls of the plane under way. */
const SIGNAL_LISTENERS_MAX = 256;

export type VerbInput<Name extends keyof typeof VERBS> = z.input<(typeof VERBS)[Name]['input']>;
export type VerbResult<Name extends keyof typeof VERBS> = z.output<(typeof VERBS)[Name]['output']>;

/** Typed arguments in, structured result out. Fails with a `NokvError`. */
export async function callVerb<Name extends keyof typeof VERBS>(
  name: Name,
  plane: Plane,
  input: VerbInput<Name>,
  context: VerbContext,
): Promise<VerbResult<Name>> {
  return (await runVerb(name, plane, input, context)).result as VerbResult<Name>;
}

export interface VerbAnswer {
  readonly result: Readonly<Record<string, unknown>>;
  /** The same facts as compact text. */
  readonly text: string;
}

/** The same for arguments from outside, which are checked here. */
export async function runVerb(name: keyof typeof VERBS, plane: Plane, input: unknown, context: VerbContext): Promise<VerbAnswer> {
  switch (name) {
    case 'ls':
      return answer(VERBS.ls, plane, input, context);
    case 'stat':
      return answer(VERBS.stat, plane, input, context);
    case 'catalog':
      return answer(VERBS.catalog, plane, input, context);
    case 'find':
      return answer(VERBS.find, plane, input, context);
    case 'aggregate':
      return answer(VERBS.aggregate, plane, input, context);
    case 'read':
      return answer(VERBS.read, plane, input, context);
    case 'grep':
      return answer(VERBS.grep, plane, input, context);
  }
}

async function answer<Input extends z.ZodObject, Output extends z.ZodObject>(
  verb: Verb<Input, Output>,
  plane: Plane,
  input: unknown,
  context: VerbContext,
): Promise<VerbAnswer> {
  // Calls of the plane that wait at the same time all listen to the one signal; by default more than ten look like a leak.
  if (context.signal !== undefined) setMaxListeners(SIGNAL_LISTENERS_MAX, context.signal);
  const result = await verb.run(plane, parseInput(verb, input), context);
  return { result, text: verb.renderText(result) };
}
