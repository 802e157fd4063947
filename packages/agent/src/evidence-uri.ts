/**
 * Evidence: `nokv://<path>@<generation>#<fragment>` names bytes of one generation, whatever happens to the path later.
 * The path is in normal form with `%`-escapes for what a URI may not hold and for `@`, `#`, `?` and `%`; the names' own
 * `\xHH` escapes stay (their backslash is written `%5C`).
 */
import { NokvError, formatName, parsePath } from '@nokv/types';

export type EvidencePart =
  | { readonly kind: 'lines'; readonly first: number; readonly last: number }
  | { readonly kind: 'bytes'; readonly first: number; readonly last: number }
  | { readonly kind: 'pointer'; readonly pointer: string };

export interface Evidence {
  readonly path: string;
  /** Absent: whatever is current. */
  readonly generation?: number;
  readonly part?: EvidencePart;
}

const SCHEME = 'nokv://';
const LINES = /^L(\d{1,15})(?:-L?(\d{1,15}))?$/;
const BYTES = /^bytes=(\d{1,15})-(\d{1,15})$/;

export function isEvidenceUri(text: string): boolean {
  return text.startsWith(SCHEME);
}

export function formatEvidence({ path, generation, part }: Evidence): string {
  const escaped = encodeURI(path).replaceAll(/[@#?]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
  return `${SCHEME}${escaped}${generation === undefined ? '' : `@${generation}`}${part === undefined ? '' : `#${formatPart(part)}`}`;
}

export function parseEvidence(uri: string): Evidence {
  const [body = '', ...fragments] = uri.slice(SCHEME.length).split('#');
  const at = body.lastIndexOf('@');
  const version = at < 0 ? undefined : body.slice(at + 1);
  if (!isEvidenceUri(uri) || fragments.length > 1 || (version !== undefined && !/^\d{1,16}$/.test(version))) {
    throw new NokvError('invalid-argument', `expected nokv:///path@generation#L3-L9, found ${JSON.stringify(uri)}`);
  }
  const [fragment] = fragments;
  return {
    path: formatName(parsePath(decode(at < 0 ? body : body.slice(0, at), uri))),
    ...(version === undefined ? {} : { generation: Number(version) }),
    ...(fragment === undefined ? {} : { part: parsePart(decode(fragment, uri), uri) }),
  };
}

function formatPart(part: EvidencePart): string {
  if (part.kind === 'lines') return part.first === part.last ? `L${part.first}` : `L${part.first}-L${part.last}`;
  if (part.kind === 'bytes') return `bytes=${part.first}-${part.last}`;
  return encodeURI(part.pointer).replaceAll('#', '%23');
}

function parsePart(fragment: string, uri: string): EvidencePart {
  const lines = LINES.exec(fragment);
  const bytes = BYTES.exec(fragment);
  const kind = lines === null ? 'bytes' : 'lines';
  const [, from, to = from] = lines ?? bytes ?? [];
  if (from !== undefined) {
    const first = Number(from);
    const last = Number(to);
    if (first <= last && (kind === 'bytes' || first > 0)) return { kind, first, last };
  } else if (fragment.startsWith('/')) return { kind: 'pointer', pointer: fragment };
  throw new NokvError('invalid-argument', `expected #L3, #L3-L9, #bytes=0-99 or #/json/pointer, found ${JSON.stringify(uri)}`);
}

function decode(text: string, uri: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new NokvError('invalid-argument', `expected a URI with valid %-escapes, found ${JSON.stringify(uri)}`, { cause });
  }
}
