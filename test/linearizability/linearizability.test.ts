/**
 * Sixteen clients on a few names, over the wire, against a real server process: what they heard must be explained by some order of
 * what they asked, also while connections are cut and the server is killed and started again. An operation whose outcome nobody knows may
 * take effect at any later time, or never.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connect, type NokvClient } from '@nokv/client';
import { startServerProcess, type ServerProcess } from '../services/server.js';
import { Caller, Clockwork, Place, type Told } from './callers.js';
import { checkLinearizable, type Model } from './checker.js';
import { movingProxy, type MovingProxy } from './cutting-proxy.js';
import { directoryPair } from './directory-pair.js';
import { filePair } from './file-pair.js';
import type { Operation } from './history.js';

const CLIENTS = 16;
const LONG = process.env['NOKV_TEST_LONG'] === '1';
/** Each with names of its own, so that lost operations of one do not burden the next. */
const EPOCHS = LONG ? 20 : 3;
const PLACES = 2;
const OPERATIONS = 60;
/** In a storm half of the clients give up soon and do not know what happened. */
const PATIENCE_MS = 30_000;
const HASTE_MS = 250;

let data: string;
let server: ServerProcess | undefined;
let proxy: MovingProxy;
let clients: NokvClient[];

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'nokv-linear-'));
  proxy = await movingProxy();
  await startServer();
  clients = [];
});

afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await proxy.close();
  await server?.kill();
  await rm(data, { recursive: true, force: true });
});

async function connectClients(timeoutMs: (client: number) => number): Promise<void> {
  const address = proxy.address;
  const connecting = Array.from({ length: CLIENTS }, (_, i) =>
    connect({ address, actor: `c${i}`, timeoutMs: timeoutMs(i), patienceMs: 10_000 }),
  );
  clients = await Promise.all(connecting);
}

async function startServer(): Promise<void> {
  server = await startServerProcess({ data, logLevel: 'warn' });
  proxy.target = server.rpc;
}

async function killAndStart(): Promise<void> {
  proxy.target = undefined;
  await server?.kill();
  await startServer();
}

/** What goes wrong while the callers are at work; ends when they are done. */
type Weather = (isOver: () => boolean) => Promise<void>;

const calm: Weather = async () => undefined;

/** A gust cuts some connections; two of them in each epoch take the server with them. */
const storm: Weather = async (isOver) => {
  for (let gust = 1; !isOver(); gust++) {
    await new Promise((resolve) => setTimeout(resolve, 40 + Math.random() * 80));
    if (KILLS_AT.includes(gust)) await killAndStart();
    else if (gust <= GUSTS_MAX) proxy.cut(0.2);
  }
};
const KILLS_AT = [4, 10];
const GUSTS_MAX = 20;

interface Summary {
  operations: number;
  lost: number;
  steps: number;
}

async function runEpochs(weather: Weather): Promise<Summary> {
  const summary: Summary = { operations: 0, lost: 0, steps: 0 };
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    const clockwork = new Clockwork();
    const places = Array.from({ length: PLACES }, (_, i) => new Place(`/e${epoch}-${i}`));
    for (const { path } of places) await (clients[0] as NokvClient).mkdir(path);
    let isOver = false;
    const callers = clients.map((client, i) => new Caller(`c${i}`, client, clockwork).run(places, OPERATIONS));
    await Promise.all([Promise.all(callers).finally(() => (isOver = true)), weather(() => isOver)]);
    for (const place of places) {
      expect(place.republished).toEqual([]);
      judge(`files in ${place.path}`, filePair, place.fileHistory, summary);
      judge(`directories in ${place.path}`, directoryPair, place.directories.operations, summary);
    }
    expect(outOfOrder(clockwork.told)).toEqual([]);
  }
  return summary;
}

function judge<State, Input, Output>(
  what: string,
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  summary: Summary,
): void {
  const verdict = checkLinearizable(model, history);
  if (!verdict.isLinearizable) {
    const tell = ({ caller, input, output, calledAt, returnedAt }: Operation<Input, Output>): string =>
      `${calledAt}-${returnedAt} ${caller} ${JSON.stringify(input)}: ${String(output)}`;
    expect.fail([`${what}: no order explains`, ...verdict.stuck.map(tell), 'after', ...verdict.longest.slice(-20).map(tell)].join('\n'));
  }
  summary.operations += history.length;
  summary.lost += history.filter(({ output }) => output === undefined).length;
  summary.steps += verdict.steps;
}

/** Mutations that were asked after a younger version had been told: versions must rise in real time. */
function outOfOrder(told: readonly Told[]): readonly Told[] {
  const byReturn = [...told].sort((a, b) => a.returnedAt - b.returnedAt);
  let newest = 0;
  let next = 0;
  return [...told]
    .sort((a, b) => a.calledAt - b.calledAt)
    .filter(({ calledAt, version }) => {
      for (let other = byReturn[next]; other !== undefined && other.returnedAt < calledAt; other = byReturn[++next]) {
        newest = Math.max(newest, other.version);
      }
      return version <= newest;
    });
}

describe(`${CLIENTS} clients over the wire`, () => {
  test('in calm weather', { timeout: 120_000 + EPOCHS * 20_000 }, async () => {
    await connectClients(() => PATIENCE_MS);
    const summary = await runEpochs(calm);
    expect(summary.operations).toBeGreaterThan((EPOCHS * CLIENTS * OPERATIONS * 9) / 10);
    expect(summary.lost).toBe(0);
  });

  test('while connections are cut and the server is killed and started again', { timeout: 120_000 + EPOCHS * 60_000 }, async () => {
    await connectClients((client) => (client % 2 === 0 ? PATIENCE_MS : HASTE_MS));
    const summary = await runEpochs(storm);
    console.log(`linearizability: ${JSON.stringify({ ...summary, cuts: proxy.cuts })}`);
    expect(summary.operations).toBeGreaterThan((EPOCHS * CLIENTS * OPERATIONS) / 2);
    expect(proxy.cuts).toBeGreaterThan(EPOCHS);
  });
});
