/** The paths of a question and the one moment that all of it is asked about. */
import type { AtLike, NokvClient } from '@nokv/client';
import { formatName } from '@nokv/types';
import { type Address, addressOf, atOf, generationOf } from './address.js';
import type { Call } from './command.js';
import { type Moment, formatMoment } from './moment.js';
import { usageError } from './usage-error.js';

type Asked = Pick<Call, 'signal'> & { readonly flags: { readonly at?: Moment | undefined } };

const URI = 'nokv://';

/** A verb looks at one state of the namespace: paths with different moments are refused. URIs name their bodies themselves. */
export async function pathsAndMoment(
  call: Asked,
  client: NokvClient,
  verb: string,
  texts: readonly string[],
): Promise<{ readonly paths: readonly string[]; readonly at: AtLike | undefined }> {
  const addresses = texts.filter((text) => !text.startsWith(URI)).map((text) => addressOf(call, text));
  const states = verb === 'read' ? addresses.filter(({ moment }) => !isBody(moment)) : addresses;
  const [first] = states;
  const other = states.find(({ moment }) => shown(moment) !== shown(first?.moment));
  if (first !== undefined && other !== undefined) {
    throw usageError(
      `${other.written}: one question is about one moment, found ${shown(first.moment)} and ${shown(other.moment)}; ask twice, or use --at`,
    );
  }
  // Without a path the question is about the root.
  const about = first ?? (texts.length === 0 && call.flags.at !== undefined ? addressOf(call, '/') : undefined);
  const at = about === undefined ? undefined : await atOf(call, client, about);
  const paths: string[] = [];
  let next = 0;
  for (const text of texts) {
    const address = text.startsWith(URI) ? undefined : addresses[next++];
    paths.push(address === undefined ? text : verb === 'read' ? await readable(call, client, address) : address.text);
  }
  return { paths, at };
}

/** Bodies that are named by their generation are cited, as agents do. */
async function readable(call: Asked, client: NokvClient, address: Address): Promise<string> {
  const { moment, path, text } = address;
  if (moment?.kind !== 'generation' && moment?.kind !== 'ordinal') return text;
  const { formatEvidence } = await import('@nokv/agent');
  const generation = moment.kind === 'generation' ? moment.generation : await generationOf(call, client, address, moment.ordinal);
  return formatEvidence({ path: formatName(path), generation });
}

function isBody(moment: Moment | undefined): boolean {
  return moment?.kind === 'generation' || moment?.kind === 'ordinal';
}

function shown(moment: Moment | undefined): string {
  return moment === undefined ? 'now' : formatMoment(moment);
}
