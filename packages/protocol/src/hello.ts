/**
 * The first frame of each side. It begins with bytes that no version will ever change, so that a server and a client
 * of any age can tell each other why they cannot talk: `NOKV`, then for a hello the lowest and the highest version that
 * the client speaks (u16 each), for its answer the chosen version (u16). A map follows that newer sides may lengthen.
 */
import { NokvError, type Version } from '@nokv/types';
import { FRAME_BYTES_MAX_DEFAULT, FRAME_BYTES_MAX_LEAST, FRAME_TYPES, HELLO_BYTES_MAX } from './frame.js';
import { MessageReader } from './message-reader.js';
import { MessageWriter } from './message-writer.js';
import type { Schema } from './schema.js';
import type { Shape } from './schema.js';
import { int, list, object, optional, text } from './schema.js';
import { version as versionNumber } from './schemas/values.js';

export const PROTOCOL_VERSIONS: VersionRange = { min: 4, max: 4 };

export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

export interface ClientHello {
  readonly versions: VersionRange;
  readonly features: readonly string[];
  /** For logs and `status`: program and version. */
  readonly client: string;
  readonly token?: string;
  readonly frameBytesMax: number;
}

/**
 * One life of the shard that a server serves: it begins when the shard's environment is opened and ends when something that was
 * shown is lost, at the latest with the process. What the server says of durable versions holds for versions of the same
 * incarnation alone: the next one counts on above all of them, whatever became of them.
 */
export interface Incarnation {
  /** Drawn at random. */
  readonly id: string;
  /** The version that it counts on from: its own are above. */
  readonly opened: Version;
}

export interface ServerHello {
  readonly version: number;
  /** Those of the client's that the server has too. */
  readonly features: readonly string[];
  readonly server: string;
  /** What both sides keep to: the lesser of the two limits. */
  readonly frameBytesMax: number;
  readonly inFlightMax: number;
  readonly streamsMax: number;
  readonly shardMapRevision: number;
  /** It ends with the connection at the latest. */
  readonly incarnation: Incarnation;
}

const MAGIC = Uint8Array.of(0x4e, 0x4f, 0x4b, 0x56);
const frameBytes: Schema<number> = int(FRAME_BYTES_MAX_LEAST, 2 ** 30);
const features: Schema<readonly string[]> = list(text(64), 64);

const clientBody = object<Omit<ClientHello, 'versions'>>(
  { features, client: text(256), token: optional(text(8192)), frameBytesMax: frameBytes },
  { lenient: true },
);
const serverBody = object<Omit<ServerHello, 'version'>>(
  {
    features,
    server: text(256),
    frameBytesMax: frameBytes,
    inFlightMax: int(1),
    streamsMax: int(1),
    shardMapRevision: int(0),
    incarnation: object<Incarnation>({ id: text(64), opened: versionNumber }),
  },
  { lenient: true },
);

export const HELLO_SHAPES: Shape = { client: clientBody.shape, server: serverBody.shape };

export function clientHello(client: string, token?: string, frameBytesMax = FRAME_BYTES_MAX_DEFAULT): ClientHello {
  const hello = { versions: PROTOCOL_VERSIONS, features: [], client, frameBytesMax };
  return token === undefined ? hello : { ...hello, token };
}

export function writeClientHello(to: MessageWriter, hello: ClientHello): void {
  to.beginFrame(FRAME_TYPES.hello, 0);
  to.rawBytes(MAGIC);
  to.rawU16(hello.versions.min);
  to.rawU16(hello.versions.max);
  clientBody.write(to, hello);
  to.endFrame(HELLO_BYTES_MAX);
}

/** Refuses with `unsupported-version` before it reads what another version may write differently. */
export function readClientHello(payload: Uint8Array, spoken: VersionRange = PROTOCOL_VERSIONS): { hello: ClientHello; version: number } {
  const from = new MessageReader(payload);
  checkMagic(from);
  const versions = { min: from.rawU16(), max: from.rawU16() };
  const version = Math.min(versions.max, spoken.max);
  if (versions.min > versions.max || version < spoken.min || version < versions.min) {
    throw new NokvError('unsupported-version', refusal(spoken, versions), {
      details: { serverMin: spoken.min, serverMax: spoken.max, clientMin: versions.min, clientMax: versions.max },
    });
  }
  const hello = { versions, ...clientBody.read(from) };
  from.finish();
  return { hello, version };
}

export function writeServerHello(to: MessageWriter, hello: ServerHello): void {
  to.beginFrame(FRAME_TYPES.helloAck, 0);
  to.rawBytes(MAGIC);
  to.rawU16(hello.version);
  serverBody.write(to, hello);
  to.endFrame(HELLO_BYTES_MAX);
}

export function readServerHello(payload: Uint8Array, offered: VersionRange = PROTOCOL_VERSIONS): ServerHello {
  const from = new MessageReader(payload);
  checkMagic(from);
  const version = from.rawU16();
  if (version < offered.min || version > offered.max) {
    throw new NokvError(
      'unsupported-version',
      `this client offered ${spoken(offered)} and the server chose ${version}; upgrade the older of the two`,
    );
  }
  const hello = { version, ...serverBody.read(from) };
  from.finish();
  return hello;
}

function checkMagic(from: MessageReader): void {
  if (from.skipIfEqual(MAGIC)) return;
  throw new NokvError(
    'malformed-frame',
    'expected a nokv hello, found other bytes; is this the RPC port (not HTTP), and the other side a nokv?',
  );
}

function refusal(server: VersionRange, client: VersionRange): string {
  const advice =
    client.min > client.max
      ? 'the range is upside down'
      : client.max < server.min
        ? 'upgrade the client'
        : 'upgrade the server or use an older client';
  return `this server speaks ${spoken(server)}, this client ${spoken(client)}: ${advice}`;
}

function spoken(range: VersionRange): string {
  return range.min === range.max ? String(range.min) : `${range.min} to ${range.max}`;
}
