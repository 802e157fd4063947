import { connect, type NokvClient } from '@nokv/client';
import { ROOT_INODE, type ChangeRecord } from '@nokv/types';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cuttingProxy, patternBytes, sha256, startClientFixture, type ClientFixture, type CuttingProxy } from './client-fixture.js';

let fixture: ClientFixture;
let proxy: CuttingProxy;
let client: NokvClient;

beforeAll(async () => {
  fixture = await startClientFixture();
});

afterAll(async () => {
  await fixture?.close();
});

beforeEach(async () => {
  proxy = await cuttingProxy(fixture.server.rpc);
  client = await connect(proxy.address);
});

afterEach(async () => {
  await client?.close();
  await proxy?.close();
});

async function changesOf(requestId: string): Promise<readonly ChangeRecord[]> {
  const { changes } = await fixture.client.metadata.read('changes', { since: 0 as never, limit: 4096 });
  return changes.filter((change) => change.requestId === requestId);
}

describe('a reply that is lost after the commit', () => {
  test('of a put: one effect, one generation, one published event, same result', async () => {
    await fixture.client.put('/lost-put', 'before');
    const before = await fixture.client.stat('/lost-put');
    proxy.cutReplies(1);
    const outcome = await client.put('/lost-put', 'after');
    expect(proxy.cuts).toBe(1);
    const card = await fixture.client.stat('/lost-put');
    expect(card.generation).toBe(outcome.generation);
    expect(card.ordinal).toBe(before.ordinal + 1);
    const changes = await changesOf(outcome.requestId);
    expect(changes.filter((change) => change.kind === 'published')).toHaveLength(1);
    expect(new Set(changes.map((change) => change.version))).toEqual(new Set([outcome.version]));
  });

  test('of an exclusive mkdir: the retry is told it was made, not that it exists', async () => {
    proxy.cutReplies(3);
    const made = await client.mkdir('/lost-mkdir');
    expect(proxy.cuts).toBe(3);
    expect((await fixture.client.stat('/lost-mkdir')).ino).toBe(made.attributes.ino);
    expect((await changesOf(made.requestId)).filter((change) => change.kind === 'created')).toHaveLength(1);
  });

  test('of a body in blocks: published once, readable, nothing deleted', async () => {
    const body = patternBytes(9_000_000, 29);
    const staged = await client.stage(body);
    proxy.cutReplies(1);
    const outcome = await client.publish('/lost-blocks', staged, { ifGeneration: 0 });
    expect(proxy.cuts).toBe(1);
    expect(outcome.attributes.ordinal).toBe(1);
    expect(sha256(await (await fixture.client.get('/lost-blocks')).bytes())).toBe(sha256(body));
  });

  test('that never comes back before the deadline is unknown, and the same id settles it', async () => {
    proxy.cutReplies(1_000_000);
    const error = await client.mkdir('/unknown', { timeoutMs: 400 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ outcome: 'unknown', details: { requestId: expect.any(String) } });
    proxy.cutReplies(0);
    const { requestId } = (error as { details: { requestId: never } }).details;
    const settled = await client.mkdir('/unknown', { requestId });
    expect((await fixture.client.stat('/unknown')).ino).toBe(settled.attributes.ino);
    expect(await changesOf(requestId)).toHaveLength(1);
  });

  test('the same id with other arguments is refused', async () => {
    const { requestId } = await client.mkdir('/same-id');
    await expect(client.mkdir('/same-id-other', { requestId })).rejects.toMatchObject({ code: 'request-reused', kind: 'invalid' });
    expect(await fixture.client.exists('/same-id-other')).toBe(false);
  });
});

describe('reads and refusals', () => {
  test('a read is asked again after its answer was lost', async () => {
    proxy.cutReplies(2);
    expect((await client.stat('/')).ino).toBe(ROOT_INODE);
    expect(proxy.cuts).toBe(2);
  });

  test('a server that cannot be reached is not applied, with the reason', async () => {
    proxy.refuse(true);
    proxy.cutAll();
    // Once a read has failed the client knows that its connection is gone: nothing of the mutation can have been sent.
    await client.stat('/', { timeoutMs: 100 }).catch(() => undefined);
    const error = await client.mkdir('/never-sent', { timeoutMs: 300 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind: 'unavailable', outcome: 'not-applied' });
    proxy.refuse(false);
    expect(await client.exists('/never-sent')).toBe(false);
  });

  test('calls survive a server that restarts', async () => {
    await fixture.client.mkdir('/restart');
    const calls = Array.from({ length: 20 }, (_, index) => fixture.client.mkdir(`/restart/${index}`));
    await fixture.restart();
    await Promise.all(calls);
    expect((await fixture.client.stat('/restart')).children).toBe(20);
  });

  test('an abort ends a call that waits for a connection', async () => {
    proxy.refuse(true);
    proxy.cutAll();
    const abort = new AbortController();
    const waiting = client.stat('/', { signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('one signal serves any number of calls without a warning', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on('warning', note);
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 100 }, () => client.stat('/', { signal })));
    await Promise.all(
      Array.from({ length: 20 }, async () => (await client.put('/shared-signal', 'x'.repeat(20_000), { signal })).generation),
    );
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });

  test('nobody listening fails at once and says where', async () => {
    const { address } = proxy;
    await proxy.close();
    await expect(connect(address)).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining(address) });
  });

  test('a list of addresses survives the loss of one', async () => {
    const other = await connect([proxy.address, fixture.server.rpc]);
    await proxy.close();
    expect((await other.stat('/')).ino).toBe(ROOT_INODE);
    await other.close();
  });
});

describe('a watch', () => {
  test('goes on across lost connections without gap or repeat', async () => {
    await fixture.client.mkdir('/watched');
    const stop = new AbortController();
    const seen: string[] = [];
    const started = await fixture.client.mkdir('/watched/start');
    const watching = (async () => {
      for await (const event of client.watch('/watched', { since: started.version, signal: stop.signal })) {
        seen.push(String(event.path));
        if (event.path === '/watched/end') return;
      }
    })();
    const expected: string[] = [];
    for (let index = 0; index < 60; index++) {
      const path = `/watched/${String(index).padStart(3, '0')}`;
      expected.push(path);
      await fixture.client.mkdir(path);
      if (index % 10 === 5) proxy.cutAll();
    }
    await fixture.client.mkdir('/watched/end');
    await watching;
    stop.abort();
    expect(seen).toEqual([...expected, '/watched/end']);
  });

  test('without a beginning starts now and ends by its signal', async () => {
    const stop = new AbortController();
    const iterator = client.watch('/', { signal: stop.signal })[Symbol.asyncIterator]();
    const first = iterator.next();
    // The stream is open once a change that was made after it arrives; until then changes are made one by one.
    let hasArrived = false;
    void first.then(() => (hasArrived = true));
    for (let index = 0; index < 500 && !hasArrived; index++) {
      await fixture.client.mkdir(`/from-now-${index}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await first).value).toMatchObject({ kind: 'created', path: expect.stringMatching(/^\/from-now-/) });
    const rest = iterator.next();
    stop.abort();
    let step = await rest;
    while (step.done !== true) step = await iterator.next();
    expect(step.done).toBe(true);
  });
});
