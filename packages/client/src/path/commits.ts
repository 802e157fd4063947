/** How the path-level client sends mutations: a request id that is the same over all attempts, and told to the caller. */
import type { Owner, RequestId } from '@nokv/types';
import type { ClientContext } from '../client-context.js';
import type { MutationOptions } from '../nokv-client.js';

export class Commits {
  readonly #context: ClientContext;

  constructor(context: ClientContext) {
    this.#context = context;
  }

  async run<Result extends object>(
    options: MutationOptions,
    run: (call: MutationOptions) => Promise<Result>,
  ): Promise<Omit<Result, 'result'> & { readonly requestId: RequestId }> {
    const requestId = this.requestId(options);
    const answer = await run({ signal: options.signal, timeoutMs: options.timeoutMs, requestId });
    const { result: _, ...outcome } = answer as Result & { readonly result?: unknown };
    return { ...outcome, requestId };
  }

  requestId(options: MutationOptions): RequestId {
    return options.requestId ?? this.#context.requestIds.draw();
  }

  owner(options: MutationOptions): Owner {
    return options.owner ?? this.#context.owner;
  }
}
