/** A tool call as a verb call. Failures of the verb are results that a model can read; only an unknown tool is a protocol error. */
import { ProtocolError, ProtocolErrorCode, type CallToolResult } from '@modelcontextprotocol/server';
import { VERB_NAMES, jailPlane, nearNames, oneLine, runVerb, type Budget, type Plane, type VerbName } from '@nokv/agent';
import { toNokvError, type Clock } from '@nokv/types';

/** What all calls of a server share. */
export interface CallScope {
  readonly plane: Plane;
  /** Nothing outside of it can be reached. */
  readonly root: string;
  readonly clock: Clock;
  readonly budget: Partial<Budget> | undefined;
}

export async function callTool(scope: CallScope, name: string, input: unknown, signal: AbortSignal): Promise<CallToolResult> {
  const verb = VERB_NAMES.find((each) => each === name);
  if (verb === undefined) throw unknownTool(name);
  try {
    const { result, text } = await runJailed(scope, verb, input, signal);
    return { content: [{ type: 'text', text }], structuredContent: { ...result } };
  } catch (error) {
    const { code, kind, message, details, outcome } = toNokvError(error).toRecord();
    const record = { code, kind, message, outcome, ...(details === undefined ? {} : { details }) };
    return {
      isError: true,
      content: [{ type: 'text', text: `${code} (${kind}): ${oneLine(message)}` }],
      structuredContent: { error: record },
    };
  }
}

/** Each call has a jail of its own, because a jail remembers what it saw. */
export function runJailed(scope: CallScope, verb: VerbName, input: unknown, signal: AbortSignal): ReturnType<typeof runVerb> {
  const { plane, root, clock, budget } = scope;
  return runVerb(verb, jailPlane(plane, root), input, { clock, root, signal, ...(budget === undefined ? {} : { budget }) });
}

function unknownTool(name: string): ProtocolError {
  const near = nearNames(name, VERB_NAMES);
  const hint = near.length > 0 ? `did you mean ${near.join(' or ')}? ` : '';
  return new ProtocolError(ProtocolErrorCode.InvalidParams, `unknown tool ${JSON.stringify(name)}; ${hint}tools: ${VERB_NAMES.join(', ')}`);
}
