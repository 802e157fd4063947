/** One request while it is being answered: the context that its handler sees. */
import type { Acknowledgement, Caller, NokvError, RequestId } from '@nokv/types';
import type { OperationDefinition, Request } from '@nokv/protocol';
import type { ClientInfo } from './handlers.js';

export class RpcCall {
  readonly client: ClientInfo;
  readonly stream: number;
  readonly bytes: number;
  readonly startedAt: number;
  readonly deadlineAt: number;
  readonly #request: Request;
  #abort: AbortController | undefined;
  #reason: NokvError | undefined;

  constructor(client: ClientInfo, stream: number, request: Request, bytes: number, now: number) {
    this.client = client;
    this.stream = stream;
    this.bytes = bytes;
    this.startedAt = now;
    this.deadlineAt = request.deadlineMs === 0 ? Number.POSITIVE_INFINITY : now + request.deadlineMs;
    this.#request = request;
  }

  get definition(): OperationDefinition {
    return this.#request.definition;
  }

  get deadlineMs(): number {
    return this.#request.deadlineMs;
  }

  get traceId(): string {
    return this.#request.traceId;
  }

  get visible(): boolean {
    return this.#request.visible;
  }

  /** Mutations have one; the type of their context says so. */
  get requestId(): RequestId | undefined {
    return this.#request.requestId;
  }

  get actor(): string {
    return this.#request.actor;
  }

  get acknowledgement(): Acknowledgement {
    return this.#request.acknowledgement;
  }

  get attemptAgeMs(): number {
    return this.#request.attemptAgeMs;
  }

  get caller(): Caller | undefined {
    return this.#request.caller;
  }

  /** Made when first asked for: most calls end before anybody looks. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#reason !== undefined && !this.#abort.signal.aborted) this.#abort.abort(this.#reason);
    return this.#abort.signal;
  }

  /** True once nobody waits for the answer. */
  get isAbandoned(): boolean {
    return this.#reason !== undefined;
  }

  abandon(reason: NokvError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#abort?.abort(reason);
  }
}
