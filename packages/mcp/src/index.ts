export { serveMcp, type McpService, type ServeMcpOptions } from './serve-mcp.js';
export { INSTRUCTIONS, makeMcpServer } from './make-mcp-server.js';
export { TOOLS, type ToolDefinition } from './tool-list.js';
export { callTool, type CallScope } from './tool-call.js';
