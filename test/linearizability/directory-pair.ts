/** Two directories, each absent, empty or with one file: made, removed, filled, emptied, renamed over each other, listed. */
import type { Model } from './checker.js';

export type DirectoryKey = 'd' | 'e';
type Content = 'absent' | 'empty' | 'full';

export type DirectoryInput =
  | { readonly kind: 'mkdir' | 'rmdir' | 'create' | 'unlink' | 'list'; readonly key: DirectoryKey }
  | { readonly kind: 'rename'; readonly from: DirectoryKey };

/** `ok`, the code of a refusal, or what a listing found. */
export type DirectoryOutput = string;

export type DirectoryState = Readonly<Record<DirectoryKey, Content>>;

export const directoryPair: Model<DirectoryState, DirectoryInput, DirectoryOutput> = {
  initial: { d: 'absent', e: 'absent' },
  step(state, input, output) {
    const [answer, after] = run(state, input);
    if (output === undefined) return answer === 'ok' ? [after] : [state];
    return answer === output ? [after] : [];
  },
  key: ({ d, e }) => `${d} ${e}`,
};

function run(state: DirectoryState, input: DirectoryInput): readonly [string, DirectoryState] {
  if (input.kind === 'rename') {
    const to: DirectoryKey = input.from === 'd' ? 'e' : 'd';
    if (state[input.from] === 'absent') return ['not-found', state];
    if (state[to] === 'full') return ['not-empty', state];
    return ['ok', { ...state, [to]: state[input.from], [input.from]: 'absent' }];
  }
  const content = state[input.key];
  const becomes = (after: Content): readonly [string, DirectoryState] => ['ok', { ...state, [input.key]: after }];
  switch (input.kind) {
    case 'list':
      return [content === 'absent' ? 'not-found' : content, state];
    case 'mkdir':
      return content === 'absent' ? becomes('empty') : ['exists', state];
    case 'rmdir':
      return content === 'empty' ? becomes('absent') : [content === 'full' ? 'not-empty' : 'not-found', state];
    case 'create':
      return content === 'empty' ? becomes('full') : [content === 'full' ? 'exists' : 'not-found', state];
    case 'unlink':
      return content === 'full' ? becomes('empty') : ['not-found', state];
  }
}
