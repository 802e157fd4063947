/**
 * Places where tests make the process fail: `NOKV_FAILPOINTS=name=crash[:nth]|error|delay[:ms],…`, honoured only where
 * `NODE_ENV` is `test`. An unknown name or action is refused at start, so that no test passes because of a typing error.
 */
import { NokvError, unreachable, type Clock } from '@nokv/types';

export const FAILPOINTS = [
  'after-begin-upload',
  'before-block-put',
  'after-block-put',
  'before-publish-verification',
  'before-publish-commit',
  'after-publish-commit',
  'before-transact-commit',
  'after-transact-commit',
  'after-commit-before-reply',
  'before-remove-blocks',
  'after-remove-blocks',
  'before-log-append',
  'after-log-append',
  'before-commit',
  'before-flush',
] as const;
export type Failpoint = (typeof FAILPOINTS)[number];

/** Undefined where nothing is set, which is always so outside tests. */
export type HitFailpoint = ((name: Failpoint) => Promise<void>) | undefined;

type Action =
  | { readonly kind: 'crash'; readonly at: number }
  | { readonly kind: 'error' }
  | { readonly kind: 'delay'; readonly ms: number };

export function failpointsFrom(env: Readonly<Record<string, string | undefined>>, clock: Clock): HitFailpoint {
  const text = env['NOKV_FAILPOINTS'];
  if (env['NODE_ENV'] !== 'test' || text === undefined || text === '') return undefined;
  const actions = new Map(text.split(',').map(parse));
  const hits = new Map<Failpoint, number>();
  return async (name) => {
    const action = actions.get(name);
    if (action === undefined) return;
    // For whoever waits for it.
    process.stderr.write(`failpoint ${name}\n`);
    switch (action.kind) {
      case 'crash':
        hits.set(name, (hits.get(name) ?? 0) + 1);
        if (hits.get(name) !== action.at) return;
        process.kill(process.pid, 'SIGKILL');
        // The signal arrives before the next turn; nothing more of this call may happen.
        return new Promise<never>(() => {});
      case 'error':
        throw new NokvError('internal', `failpoint ${name}`, { outcome: 'unknown' });
      case 'delay':
        return clock.sleep(action.ms);
      default:
        return unreachable(action);
    }
  };
}

function parse(part: string): [Failpoint, Action] {
  const match = /^([a-z-]+)=(crash|error|delay)(?::(\d+))?$/.exec(part.trim());
  const name = FAILPOINTS.find((known) => known === match?.[1]);
  if (match === null || name === undefined) {
    throw new NokvError(
      'bad-configuration',
      `expected NOKV_FAILPOINTS name=crash[:nth]|error|delay[:ms] with a name of ${FAILPOINTS.join(', ')}, found "${part}"`,
    );
  }
  if (match[2] === 'delay') return [name, { kind: 'delay', ms: Number(match[3] ?? 1000) }];
  return [name, match[2] === 'crash' ? { kind: 'crash', at: Number(match[3] ?? 1) } : { kind: 'error' }];
}
