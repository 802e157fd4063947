/** `snapshot create | list | info | renew | retire`. */
import type { Pin, PinOutcome } from '@nokv/client';
import type { Call, CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { parseSnapshotId } from '../moment.js';
import { describePin, pinJson, printPins, shortTime } from '../pin-view.js';
import { printable } from '../printable.js';
import { remotePath } from '../remote-path.js';
import { typed } from '../typed.js';
import type { historyCommands } from '../table/history-commands.js';
import { changeOptions } from './namespace.js';

type Rows = typeof historyCommands;

export async function snapshotCreate(call: CallOf<Rows['snapshotCreate']>): Promise<void> {
  const { ttl, name, label } = call.flags;
  const path = remotePath(call.args.path);
  await using client = await connectClient(call);
  const options = { ...changeOptions(call), ttlMs: ttl, name, labels: Object.fromEntries(label) };
  const outcome = await client.snapshots.create(path, options);
  const { pin } = outcome;
  const shown = printable(pin.path);
  const isFile = !call.output.json && (await client.stat(path, { signal: call.signal })).type === 'file';
  const lines = [
    `snapshot ${pin.id} of ${shown} at version ${pin.version}${until(pin)}`,
    `  look at it:  nokv ${isFile ? 'cat' : 'ls -R'} ${typed(pin.path, `snap:${pin.id}`)}`,
    `  go back:     nokv rollback ${typed(pin.path)} --to snap:${pin.id}`,
  ];
  await tellPin(call, outcome, lines.join('\n'));
}

export async function snapshotList(call: CallOf<Rows['snapshotList']>): Promise<void> {
  const path = call.args.path === undefined ? undefined : remotePath(call.args.path);
  await using client = await connectClient(call);
  await printPins(call.output, client.snapshots.list({ signal: call.signal, path }));
}

export async function snapshotInfo(call: CallOf<Rows['snapshotInfo']>): Promise<void> {
  const id = parseSnapshotId(call.args.id);
  await using client = await connectClient(call);
  const pin = await client.snapshots.get(id, { signal: call.signal });
  if (call.output.json) await call.output.object(pinJson(pin));
  else await call.output.line(describePin(pin));
}

export async function snapshotRenew(call: CallOf<Rows['snapshotRenew']>): Promise<void> {
  const id = parseSnapshotId(call.args.id);
  await using client = await connectClient(call);
  const outcome = await client.snapshots.renew(id, { ...changeOptions(call), ttlMs: call.flags.ttl });
  await tellPin(call, outcome, `snapshot ${outcome.pin.id} of ${printable(outcome.pin.path)}${until(outcome.pin)}`);
}

export async function snapshotRetire(call: CallOf<Rows['snapshotRetire']>): Promise<void> {
  const id = parseSnapshotId(call.args.id);
  await using client = await connectClient(call);
  const outcome = await client.snapshots.retire(id, changeOptions(call));
  await tellPin(call, outcome, `snapshot ${outcome.pin.id} of ${printable(outcome.pin.path)} is given up`);
}

export async function tellPin({ output }: Pick<Call, 'output'>, { pin, requestId }: PinOutcome, text: string): Promise<void> {
  await output.result({ ...pinJson(pin), requestId }, text);
}

function until({ expiresAt }: Pin): string {
  return expiresAt === undefined ? '' : `, kept until ${shortTime(expiresAt)}`;
}
