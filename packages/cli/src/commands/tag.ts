/** `tag create | move | list | rm`. */
import type { AtLike, NokvClient, TagOptions } from '@nokv/client';
import { type Address, addressOf, atOf, readingAddress, withNearTags } from '../address.js';
import { orAdvise } from '../advise.js';
import type { Call, CallOf } from '../command.js';
import { connectClient } from '../connection.js';
import { printPins } from '../pin-view.js';
import { printable } from '../printable.js';
import { remotePath } from '../remote-path.js';
import type { historyCommands } from '../table/history-commands.js';
import { shellWord, typed } from '../typed.js';
import { changeOptions } from './namespace.js';
import { tellPin } from './snapshot.js';

type Rows = typeof historyCommands;

export async function tagCreate(call: CallOf<Rows['tagCreate']>): Promise<void> {
  const address = addressOf(call, call.args.path);
  const { name } = call.args;
  await using client = await connectClient(call);
  const options: TagOptions = { ...(await tagOptions(call, client, address)), ifPin: 0 };
  const create = async () => await readingAddress(address, async () => await client.tags.set(name, address.path, options));
  const outcome = await orAdvise('exists', `"nokv tag move ${shellWord(printable(name))} PATH" moves it`, create);
  const { pin } = outcome;
  const shown = printable(pin.path);
  const lines = [
    `tag ${printable(name)} of ${shown} at version ${pin.version} (${pin.id})`,
    `  look at it:  nokv ls -R ${typed(pin.path, `tag:${name}`)}`,
  ];
  await tellPin(call, outcome, lines.join('\n'));
}

export async function tagMove(call: CallOf<Rows['tagMove']>): Promise<void> {
  const address = addressOf(call, call.args.path);
  const { name } = call.args;
  await using client = await connectClient(call);
  // Which tag it is now is asked first: of the two things that may not be there, the tag is told with its near names.
  const seen = await withNearTags(call, client, name, async () => await client.tags.get(name, { signal: call.signal }));
  const options = { ...(await tagOptions(call, client, address)), ifPin: call.flags.ifPin };
  const outcome = await readingAddress(address, async () => await client.tags.set(name, address.path, options));
  await tellPin(
    call,
    outcome,
    `tag ${printable(name)} is now ${printable(outcome.pin.path)} at version ${outcome.pin.version} (${outcome.pin.id}); it was ${printable(seen.path)} at version ${seen.version}`,
  );
}

export async function tagList(call: CallOf<Rows['tagList']>): Promise<void> {
  const path = call.args.path === undefined ? undefined : remotePath(call.args.path);
  await using client = await connectClient(call);
  await printPins(call.output, client.tags.list({ signal: call.signal, path }));
}

export async function tagRm(call: CallOf<Rows['tagRm']>): Promise<void> {
  const { name } = call.args;
  await using client = await connectClient(call);
  const options = { ...changeOptions(call), ifPin: call.flags.ifPin };
  const outcome = await withNearTags(call, client, name, async () => await client.tags.remove(name, options));
  await tellPin(call, outcome, `tag ${printable(name)} (${printable(outcome.pin.path)} at version ${outcome.pin.version}) is removed`);
}

async function tagOptions(
  call: CallOf<Rows['tagCreate']> | CallOf<Rows['tagMove']>,
  client: NokvClient,
  address: Address,
): Promise<TagOptions> {
  const at: AtLike | undefined = await atOf(call as Pick<Call, 'signal'>, client, address);
  const { label } = call.flags;
  return { ...changeOptions(call), at, ...(label.length === 0 ? {} : { labels: Object.fromEntries(label) }) };
}
