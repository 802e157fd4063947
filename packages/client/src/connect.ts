/** The door of the SDK. */
import type { Clock, Owner, Random } from '@nokv/types';
import { NokvError } from '@nokv/types';
import type { NokvClient } from './nokv-client.js';

export interface ConnectOptions {
  /** `host:port`, `unix:/path`, a comma-separated list or a list of them; tried in turn. */
  readonly address: string | readonly string[];
  readonly token?: string | undefined;
  /** Shown in change records; default `sdk`. */
  readonly actor?: string | undefined;
  /** Sent in the hello; default `nokv-client`. */
  readonly clientName?: string | undefined;
  /** Default deadline of every call, milliseconds; default 30,000. */
  readonly timeoutMs?: number | undefined;
  /** Aborts connecting; an open client is closed with `close`. */
  readonly signal?: AbortSignal | undefined;
  /** Who owns what is created; default: user and group of this process. */
  readonly owner?: Owner | undefined;
  /** Where credentials of a bucket are looked up (AWS names); without it blocks go through the server or the file store. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

/** Connects and shakes hands. Errors: `unavailable`, `bad-token`, `unsupported-version`, `deadline-exceeded`. */
export async function connect(address: string | readonly string[] | ConnectOptions): Promise<NokvClient> {
  void address;
  throw new NokvError('unavailable', 'no transport in this build');
}
