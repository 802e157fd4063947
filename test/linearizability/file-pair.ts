/**
 * Two names in one directory and the files that come to lie there: created, replaced, compared and set, renamed over each other,
 * exchanged, removed, read, listed together. A body is known by its text, which no two requests share.
 */
import type { Model } from './checker.js';

export type PairKey = 'x' | 'y';

export type PairInput =
  | { readonly kind: 'put'; readonly key: PairKey; readonly text: string; readonly expected: string | undefined }
  | { readonly kind: 'read'; readonly key: PairKey }
  | { readonly kind: 'list' }
  | { readonly kind: 'rename'; readonly from: PairKey; readonly mode: 'replace' | 'no-replace' | 'exchange' }
  | { readonly kind: 'unlink'; readonly key: PairKey };

/** `ok`, the code of a refusal, or what a read found: a text, {@link ABSENT}, or `x=…,y=…`. */
export type PairOutput = string;

export const ABSENT = '(absent)';
/** What a put expects that creates only. */
export const NOTHING = '(nothing)';

export interface PairState {
  readonly x: string | undefined;
  readonly y: string | undefined;
}

export const filePair: Model<PairState, PairInput, PairOutput> = {
  initial: { x: undefined, y: undefined },
  step(state, input, output) {
    const { answer, after } = run(state, input);
    if (output === undefined) return answer === 'ok' ? [after] : [state];
    return answer === output ? [after] : [];
  },
  key: listed,
};

export function listed({ x, y }: PairState): string {
  return `x=${x ?? ABSENT},y=${y ?? ABSENT}`;
}

function run(state: PairState, input: PairInput): { readonly answer: string; readonly after: PairState } {
  const refused = (answer: string): { readonly answer: string; readonly after: PairState } => ({ answer, after: state });
  switch (input.kind) {
    case 'read':
      return refused(state[input.key] ?? ABSENT);
    case 'list':
      return refused(listed(state));
    case 'put': {
      const current = state[input.key];
      if (input.expected === NOTHING && current !== undefined) return refused('exists');
      if (input.expected !== undefined && input.expected !== NOTHING && current !== input.expected) return refused('generation-mismatch');
      return { answer: 'ok', after: { ...state, [input.key]: input.text } };
    }
    case 'unlink':
      return state[input.key] === undefined ? refused('not-found') : { answer: 'ok', after: { ...state, [input.key]: undefined } };
    case 'rename': {
      const to: PairKey = input.from === 'x' ? 'y' : 'x';
      if (state[input.from] === undefined) return refused('not-found');
      if (input.mode === 'exchange') {
        return state[to] === undefined ? refused('not-found') : { answer: 'ok', after: { x: state.y, y: state.x } };
      }
      if (input.mode === 'no-replace' && state[to] !== undefined) return refused('exists');
      return { answer: 'ok', after: { ...state, [to]: state[input.from], [input.from]: undefined } };
    }
  }
}
