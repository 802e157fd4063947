import { VERBS, VERB_NAMES, inputJsonSchema, outputJsonSchema, type JsonSchema } from '@nokv/agent';

export interface ToolDefinition {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: JsonSchema & { readonly type: 'object' };
  readonly outputSchema: JsonSchema & { readonly type: 'object' };
  readonly annotations: { readonly readOnlyHint: true; readonly idempotentHint: true; readonly openWorldHint: false };
}

/** The seven tools, always in the same order. */
export const TOOLS: readonly ToolDefinition[] = VERB_NAMES.map((name) => {
  const verb = VERBS[name];
  return {
    name,
    title: verb.title,
    description: verb.description,
    inputSchema: { ...inputJsonSchema(verb), type: 'object' },
    outputSchema: { ...outputJsonSchema(verb), type: 'object' },
    annotations: { readOnlyHint: true, idempotentHint: true, openWorldHint: false },
  };
});
