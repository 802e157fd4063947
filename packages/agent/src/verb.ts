/** The shape that all seven verbs share: one definition for MCP, the command line and the SDK. */
import type { z } from 'zod';
import type { VerbContext } from './budget.js';
import { inputError } from './input-error.js';
import type { Plane } from './plane.js';

export const VERB_NAMES = ['ls', 'stat', 'catalog', 'find', 'aggregate', 'read', 'grep'] as const;
export type VerbName = (typeof VERB_NAMES)[number];

export interface Verb<Input extends z.ZodObject = z.ZodObject, Output extends z.ZodObject = z.ZodObject> {
  readonly name: VerbName;
  readonly title: string;
  /** For a model: what it gives and when to use it. */
  readonly description: string;
  /** Strict: unknown arguments are refused. */
  readonly input: Input;
  readonly output: Output;
  /** Expects parsed arguments (see {@link parseInput}). Fails with a `NokvError`. */
  run(plane: Plane, input: z.output<Input>, context: VerbContext): Promise<z.output<Output>>;
  /** The facts of the answer as compact text. */
  renderText(result: z.output<Output>): string;
}

/** Checks arguments from outside; a wrong one is named with what was expected and the nearest valid choice. */
export function parseInput<Input extends z.ZodObject>(verb: Pick<Verb<Input>, 'name' | 'input'>, input: unknown): z.output<Input> {
  const parsed = verb.input.safeParse(input ?? {});
  if (!parsed.success) throw inputError(verb.name, parsed.error, Object.keys(verb.input.shape));
  return parsed.data as z.output<Input>;
}
