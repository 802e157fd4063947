/** `/healthz`: the process turns. `/readyz`: it owns its shard and serves. `/metrics`: Prometheus' text format. */
import type { HttpRoute } from './http-server.js';
import { textAnswer } from './http-server.js';

export interface StatusParts {
  /** Undefined while serving; else why not. */
  readonly refusal: () => Error | undefined;
  readonly metrics: () => string;
}

export function statusRoutes(parts: StatusParts): HttpRoute[] {
  return [
    { path: '/healthz', methods: { GET: () => textAnswer(200, 'ok\n') } },
    {
      path: '/readyz',
      methods: {
        GET: () => {
          const refusal = parts.refusal();
          return refusal === undefined ? textAnswer(200, 'ready\n') : textAnswer(503, `${refusal.message}\n`);
        },
      },
    },
    { path: '/metrics', methods: { GET: () => textAnswer(200, parts.metrics(), 'text/plain; version=0.0.4; charset=utf-8') } },
  ];
}
