import { expect, it } from 'vitest';
import { systemClock } from '@nokv/types';
import { failpointsFrom } from './failpoints.js';

it('does nothing outside tests', () => {
  expect(failpointsFrom({ NOKV_FAILPOINTS: 'after-begin-upload=crash' }, systemClock)).toBeUndefined();
  expect(failpointsFrom({ NODE_ENV: 'test' }, systemClock)).toBeUndefined();
});

it('fails where it is told to and nowhere else', async () => {
  const hit = failpointsFrom({ NODE_ENV: 'test', NOKV_FAILPOINTS: 'before-publish-commit=error' }, systemClock);
  await expect(hit?.('before-publish-commit')).rejects.toMatchObject({ code: 'internal', outcome: 'unknown' });
  await expect(hit?.('after-begin-upload')).resolves.toBeUndefined();
});

it('refuses a name or an action that it does not know', () => {
  for (const text of ['no-such-place=error', 'after-begin-upload=explode', 'after-begin-upload']) {
    expect(() => failpointsFrom({ NODE_ENV: 'test', NOKV_FAILPOINTS: text }, systemClock)).toThrow(/expected NOKV_FAILPOINTS/);
  }
});
