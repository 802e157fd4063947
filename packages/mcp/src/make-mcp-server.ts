import { Server } from '@modelcontextprotocol/server';
import { callTool, type CallScope } from './tool-call.js';
import { RESOURCE_TEMPLATE, completePath, listResources, readResource } from './resources.js';
import { TOOLS } from './tool-list.js';

/** Under 150 tokens: every session pays for it. */
export const INSTRUCTIONS =
  'Files and artifacts of runs: logs, metrics, checkpoints, reports. Start with catalog (what can be asked) or ls, then find or aggregate by ' +
  'fields, grep for text, read only the part you need. Answers are bounded: when one says PARTIAL or more, repeat the call with its cursor or ' +
  'narrow it. Cite facts by the uri given (nokv://path@generation#L3-L9); read takes it as path and returns the same bytes later.';

/** One server for one connection (or, in the stateless era, one request); it keeps no state of its own. */
export function makeMcpServer(scope: CallScope, version: string): Server {
  const instructions = scope.root === '/' ? INSTRUCTIONS : `${INSTRUCTIONS} Everything lies below ${scope.root}.`;
  const server = new Server(
    { name: 'nokv', title: 'nokv', version },
    { capabilities: { tools: {}, resources: {}, completions: {} }, instructions },
  );
  server.setRequestHandler('tools/list', () => ({ tools: TOOLS.map((tool) => ({ ...tool })) }));
  server.setRequestHandler('tools/call', ({ params }, { mcpReq }) => callTool(scope, params.name, params.arguments ?? {}, mcpReq.signal));
  server.setRequestHandler('resources/list', ({ params }, { mcpReq }) => listResources(scope, params?.cursor, mcpReq.signal));
  server.setRequestHandler('resources/templates/list', () => ({ resourceTemplates: [RESOURCE_TEMPLATE] }));
  server.setRequestHandler('resources/read', ({ params }, { mcpReq }) => readResource(scope, params.uri, mcpReq.signal));
  server.setRequestHandler('completion/complete', async ({ params }, { mcpReq }) => ({
    completion: params.ref.type === 'ref/resource' ? await completePath(scope, params.argument.value, mcpReq.signal) : { values: [] },
  }));
  return server;
}
