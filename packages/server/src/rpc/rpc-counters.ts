/** What a listener counts, for /metrics. */
import type { NokvError } from '@nokv/types';
import type { AdaptivePoller, AdaptivePollerStats } from '@nokv/protocol';
import type { RpcStats } from './rpc-listener.js';

interface OperationCounter {
  requests: number;
  readonly errors: Map<string, number>;
}

export class RpcCounters implements RpcStats {
  connections = 0;
  connectionsRefused = 0;
  inFlight = 0;
  streams = 0;
  bytesIn = 0;
  bytesOut = 0;
  readonly operations = new Map<string, OperationCounter>();

  readonly #poller: AdaptivePoller | undefined;

  constructor(poller: AdaptivePoller | undefined) {
    this.#poller = poller;
  }

  get polling(): AdaptivePollerStats | undefined {
    return this.#poller?.stats;
  }

  request(operation: string): void {
    this.#counter(operation).requests += 1;
  }

  error(operation: string, error: NokvError): void {
    const { errors } = this.#counter(operation);
    errors.set(error.code, (errors.get(error.code) ?? 0) + 1);
  }

  /** The names are those of the handler table: bounded. */
  #counter(operation: string): OperationCounter {
    let counter = this.operations.get(operation);
    if (counter === undefined) {
      counter = { requests: 0, errors: new Map() };
      this.operations.set(operation, counter);
    }
    return counter;
  }
}
