/**
 * JSON Schemas of verbs as they are published to models, who pay for every byte: bounds that say nothing are dropped,
 * unions of plain types become type lists, and results are described down to their first level (nothing is required in it, because a failed call answers `{error}` in its place). The full schemas stay in
 * zod and are what is checked.
 */
import { z } from 'zod';
import type { Verb } from './verb.js';

export type JsonSchema = Readonly<Record<string, unknown>>;

export function inputJsonSchema(verb: Pick<Verb, 'input'>): JsonSchema {
  return compact(z.toJSONSchema(verb.input, { io: 'input' }) as JsonSchema);
}

export function outputJsonSchema(verb: Pick<Verb, 'output'>): JsonSchema {
  const full = z.toJSONSchema(verb.output) as { readonly properties: Readonly<Record<string, JsonSchema>> };
  return {
    type: 'object',
    properties: Object.fromEntries(Object.entries(full.properties).map(([name, schema]) => [name, { type: schema.type }])),
  };
}

const DROPPED = new Set(['$schema', 'minItems', 'maxItems', 'minimum', 'minLength', 'propertyNames']);

function compact(schema: JsonSchema): JsonSchema {
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (DROPPED.has(key) || (key === 'maximum' && value === Number.MAX_SAFE_INTEGER)) continue;
    if (key === 'anyOf') Object.assign(kept, union(value as readonly JsonSchema[]));
    else if (key === 'properties')
      kept[key] = Object.fromEntries(
        Object.entries(value as Readonly<Record<string, JsonSchema>>).map(([name, each]) => [name, compact(each)]),
      );
    else if (key === 'items') kept[key] = compact(value as JsonSchema);
    else if (key === 'additionalProperties' && value !== false) continue;
    else if (key === 'enum') kept.enum = value;
    else kept[key] = value;
  }
  // A list of values says what their type is.
  if (kept.enum !== undefined) delete kept.type;
  return kept;
}

function union(branches: readonly JsonSchema[]): JsonSchema {
  const merged = Object.assign({}, ...branches.map(compact)) as Record<string, unknown>;
  return { ...merged, type: branches.map((branch) => branch.type) };
}
