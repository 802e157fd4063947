/**
 * Files as resources: `nokv:///path` (what is current), `nokv:///path@generation` and the same with a fragment.
 * Whole bodies up to 1 MiB; larger ones by fragment or with the `read` tool.
 */
import {
  ProtocolError,
  ProtocolErrorCode,
  ResourceNotFoundError,
  type ListResourcesResult,
  type ReadResourceResult,
} from '@modelcontextprotocol/server';
import { formatEvidence, isEvidenceUri, jailPlane, parseEvidence, type PlaneEntry } from '@nokv/agent';
import { toNokvError } from '@nokv/types';
import { runJailed, type CallScope } from './tool-call.js';

export const RESOURCE_TEMPLATE = {
  uriTemplate: 'nokv://{+path}',
  name: 'file',
  title: 'File',
  description: 'A file by absolute path, optionally with @generation and #L3-L9, #bytes=0-99 or #/json/pointer.',
};

const RESOURCE_BYTES_MAX = 1024 * 1024;
const COMPLETIONS_MAX = 100;

/** The files directly below the root; the rest is reached through the template. */
export async function listResources(scope: CallScope, cursor: string | undefined, signal: AbortSignal): Promise<ListResourcesResult> {
  const { plane, root } = scope;
  const page = await plane.list(root, { limit: 100, signal, ...(cursor === undefined ? {} : { after: cursor }) });
  const last = page.entries.at(-1);
  return {
    resources: page.entries
      .filter((entry) => entry.card.type === 'file')
      .map((entry) => ({ uri: formatEvidence({ path: entry.path }), name: entry.name, size: entry.card.size })),
    ...(page.more && last !== undefined ? { nextCursor: last.name } : {}),
  };
}

export async function readResource(scope: CallScope, uri: string, signal: AbortSignal): Promise<ReadResourceResult> {
  if (!isEvidenceUri(uri))
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, `expected a URI nokv:///path, found ${JSON.stringify(uri)}`);
  try {
    const evidence = parseEvidence(uri);
    if (evidence.part !== undefined) {
      const { text } = await runJailed(scope, 'read', { path: uri }, signal);
      return { contents: [{ uri, mimeType: 'text/plain', text }] };
    }
    const body = await jailPlane(scope.plane, scope.root).open(evidence.path, {
      signal,
      ...(evidence.generation === undefined ? {} : { generation: evidence.generation }),
    });
    if (body.size > RESOURCE_BYTES_MAX) {
      throw new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        `${evidence.path} has ${body.size} bytes, a resource at most ${RESOURCE_BYTES_MAX}; add #L1-L500 or #bytes=0-65535, or use the read tool`,
      );
    }
    const bytes = Buffer.from(await body.read(0, body.size, { signal }));
    return { contents: [contentOf(uri, body.entry, bytes)] };
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    const known = toNokvError(error);
    if (known.kind === 'not-found') throw new ResourceNotFoundError(uri, known.message);
    const code = known.kind === 'invalid' || known.kind === 'denied' ? ProtocolErrorCode.InvalidParams : ProtocolErrorCode.InternalError;
    const { kind } = known;
    throw new ProtocolError(code, `${known.code} (${kind}): ${known.message}`, { code: known.code, kind, message: known.message });
  }
}

/** Paths that begin with what was typed. */
export async function completePath(
  scope: CallScope,
  typed: string,
  signal: AbortSignal,
): Promise<{ readonly values: string[]; readonly hasMore: boolean }> {
  const slash = typed.lastIndexOf('/');
  const directory = slash > 0 ? typed.slice(0, slash) : slash === 0 ? '/' : scope.root;
  const prefix = typed.slice(slash + 1);
  try {
    const page = await jailPlane(scope.plane, scope.root).list(directory, { limit: 4096, signal });
    const values = page.entries
      .filter((entry) => entry.name.startsWith(prefix))
      .map((entry) => (entry.card.type === 'directory' ? `${entry.path}/` : entry.path));
    return { values: values.slice(0, COMPLETIONS_MAX), hasMore: page.more || values.length > COMPLETIONS_MAX };
  } catch {
    // Nothing to offer below what does not exist or may not be seen.
    return { values: [], hasMore: false };
  }
}

function contentOf(uri: string, entry: PlaneEntry, bytes: Buffer): ReadResourceResult['contents'][number] {
  const text = bytes.includes(0) ? undefined : textOf(bytes);
  const mimeType = entry.card.contentType ?? (text === undefined ? 'application/octet-stream' : 'text/plain');
  return text === undefined ? { uri, mimeType, blob: bytes.toString('base64') } : { uri, mimeType, text };
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
