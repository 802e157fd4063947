/** Schemas of changes with their paths. A change is an array by position: a watcher reads many of them. */
import type { ChangeCursor, ChangeFilter, ChangeRoot, PathChange } from '@nokv/types';
import { CHANGE_FILTER_NAMES_MAX, CHANGE_KINDS, CLIENT_MARK_LENGTH, WHOLE_VERSION } from '@nokv/types';
import type { MessageReader } from '../message-reader.js';
import { MessageWriter } from '../message-writer.js';
import type { Schema } from '../schema.js';
import { bytes, coded, int, list, object, optional, text, unsendable } from '../schema.js';
import { LABEL_BYTES_MAX, REQUEST_ID_BYTES_MAX, generation, inodeNumber, inodeType, path, timespec, version } from './values.js';

/** What was made by inode may lie deeper than a path of a request reaches. */
const EVENT_PATH_BYTES_MAX = 1024 * 1024;

const kind = coded(CHANGE_KINDS);
const ordinal: Schema<number> = int(0, WHOLE_VERSION);
const eventPath = bytes(1, EVENT_PATH_BYTES_MAX);
const request = text(REQUEST_ID_BYTES_MAX);
const label = text(LABEL_BYTES_MAX);

export const changeCursor: Schema<ChangeCursor> = object<ChangeCursor>({ version, ordinal });

export const changeFilter: Schema<ChangeFilter> = object<ChangeFilter>({
  kinds: optional(list(kind, CHANGE_FILTER_NAMES_MAX)),
  actors: optional(list(label, CHANGE_FILTER_NAMES_MAX)),
  exceptActors: optional(list(label, CHANGE_FILTER_NAMES_MAX)),
  exceptRequestPrefix: optional(request),
  exceptClient: optional(text(CLIENT_MARK_LENGTH)),
});

/** A path as bytes or an inode as a number. */
export const changeRoot: Schema<ChangeRoot> = {
  shape: { pathOr: inodeNumber.shape },
  write: (to, value) => ('ino' in value ? inodeNumber.write(to, value.ino) : path.write(to, value.path)),
  read: (from) => (from.isInt() ? { ino: inodeNumber.read(from) } : { path: path.read(from) }),
};

const FIELDS = 11;

/** Changes that many are sent: encoded once for all of them. */
const encodings = new WeakMap<PathChange, Uint8Array>();
const sharedWriter = new MessageWriter();

/** For a change that will be sent to several watchers as it is. */
export function shareEncoding(change: PathChange): void {
  if (encodings.has(change)) return;
  try {
    writeChange(sharedWriter, change);
    encodings.set(change, sharedWriter.take());
  } catch {
    // Whoever sends it is told what is wrong with it.
    sharedWriter.take();
  }
}

/** `[version, ordinal, kind, inode, type, path or nil, old path or nil, generation or nil, request id, actor, time]` */
export const pathChange: Schema<PathChange> = {
  shape: ['version', ordinal.shape, kind.shape, 'ino', inodeType.shape, 'path?', 'fromPath?', 'generation?', 'requestId', 'actor', 'time'],
  write: (to, value) => {
    const shared = encodings.get(value);
    if (shared === undefined) writeChange(to, value);
    else to.rawBytes(shared);
  },
  read: (from) => {
    const length = from.arrayHeader();
    if (length !== FIELDS) throw from.invalid(`expected a change of ${FIELDS} fields, found ${length}`);
    // Grown in place: a watcher reads many, and spreading costs more than the fields.
    const change = {
      version: version.read(from),
      ordinal: ordinal.read(from),
      kind: kind.read(from),
      ino: inodeNumber.read(from),
      type: inodeType.read(from),
    } as { -readonly [Key in keyof PathChange]: PathChange[Key] };
    const place = readOr(from, eventPath);
    if (place !== undefined) change.path = place;
    const fromPlace = readOr(from, eventPath);
    if (fromPlace !== undefined) change.fromPath = fromPlace;
    const body = readOr(from, generation);
    if (body !== undefined) change.generation = body;
    change.requestId = request.read(from);
    change.actor = label.read(from);
    change.time = timespec.read(from);
    return change;
  },
};

function writeChange(to: MessageWriter, value: PathChange): void {
  to.arrayHeader(FIELDS);
  version.write(to, value.version);
  ordinal.write(to, value.ordinal);
  kind.write(to, value.kind);
  inodeNumber.write(to, value.ino);
  inodeType.write(to, value.type);
  writeOr(to, eventPath, value.path);
  writeOr(to, eventPath, value.fromPath);
  writeOr(to, generation, value.generation);
  request.write(to, value.requestId);
  label.write(to, value.actor);
  timespec.write(to, value.time);
}

function writeOr<T>(to: MessageWriter, schema: Schema<T>, value: T | undefined): void {
  if (value === null) throw unsendable('expected a value or nothing, found null');
  if (value === undefined) to.nil();
  else schema.write(to, value);
}

function readOr<T>(from: MessageReader, schema: Schema<T>): T | undefined {
  if (!from.isNil()) return schema.read(from);
  from.nil();
  return undefined;
}
