/** publish: makes a body the new generation of a file. */
import {
  INLINE_BYTES_MAX,
  NokvError,
  PLAIN_BYTES_MAX,
  UPLOAD_BLOCKS_MAX,
  isChunksOf,
  isHole,
  plainLength,
  type Body,
  type Generation,
  type InodeNumber,
  type Manifest,
  type Piece,
  type PublishResult,
} from '@nokv/types';
import type { MutationCommand } from '../command.js';
import { READ, WRITE, changedMode, checkAccess, checkTimes, modeAfterWrite, restricted } from '../permissions.js';
import { alreadyExists, describe, isDirectory, notFound, resolvePlace, type Place } from '../resolve.js';
import type { NewBody, Transaction } from '../transaction.js';
import { checkText8, sha256Of } from '../value-body.js';
import { toAttributes, type Inode } from '../value-inode.js';
import { insertFresh, location, makeInode, parentMaker } from './create.js';
import { editLiving } from './directory.js';
import { closeUpload } from './extents.js';
import { bodyEnded, checkTime, digestOfInline, replaceBody } from './setattr.js';
import { checkSplices, splicedBody } from './splice.js';
import { liveUpload } from './upload.js';
import { FreshInodes } from './fresh-inodes.js';

type PublishCommand = Extract<MutationCommand, { operation: 'publish' }>;

const UINT32_MAX = 0xffff_ffff;
/** Uploads that one body may name: the width of their numbers in the row. */
const UPLOADS_MAX = 65_535;

export function publish(transaction: Transaction, command: PublishCommand): PublishResult {
  const { args, retention } = command;
  checkArguments(args);
  const fresh = new FreshInodes(command);
  const target = findTarget(transaction, args, fresh);
  const current = target.kind === 'file' ? target.inode : undefined;
  mayPublish(transaction, args, current);
  checkPreconditions(transaction, args, current);
  const created = current === undefined;
  const inode = target.kind === 'file' ? transaction.edit(target.inode.ino) : makeFile(transaction, target.place, args, fresh);
  checkPieces(transaction, args, inode.ino);
  replaceBody(transaction, inode, newBody(transaction, args, current), retention);
  if (args.share === true) offer(transaction, args, inode);
  inode.mtime = args.mtime ?? transaction.time;
  inode.ctime = transaction.time;
  if (!created) inode.mode = modeAfterWrite(transaction.caller, inode);
  if (!created && args.setMode === true) inode.mode = changedMode(transaction.caller, inode, args.mode & 0o7777, () => describe(args.node));
  if (args.upload !== undefined && args.endUpload !== false) closeUpload(transaction, args.upload, retention);
  const at = target.kind === 'place' ? location(target.place) : inode.parent === 0 ? undefined : { parent: inode.parent, name: inode.name };
  transaction.change('published', inode, at);
  return { attributes: toAttributes(inode), generation: inode.generation, created };
}

/** Small bodies are not looked for: finding one costs more than it. */
function offer(transaction: Transaction, { body, digest }: PublishCommand['args'], { ino, generation }: Inode): void {
  const sha256 = body.kind === 'blocks' ? sha256Of(digest) : undefined;
  if (sha256 !== undefined) transaction.offerDigest(sha256, { ino, generation });
}

/** The whole body as it was sent, or the one that is there with what was sent in its places. */
function newBody(transaction: Transaction, args: PublishCommand['args'], current: Inode | undefined): NewBody {
  const { digest, contentType, producer, body, splices } = args;
  if (splices === undefined) return { digest, contentType, producer, body };
  const old = current === undefined || current.generation === 0 ? undefined : transaction.body(current.ino, current.generation);
  if (old?.lost !== undefined) throw bodyEnded(args.node, old.lost.size);
  const spliced = splicedBody(args.node, old?.body, body, splices);
  checkBody(spliced);
  // Of bytes in blocks nobody knows a digest without reading them, unless nothing was added to them.
  const unchanged = spliced === old?.body ? old.digest : undefined;
  return {
    digest: spliced.kind === 'inline' ? digestOfInline(spliced.bytes) : unchanged,
    contentType: contentType ?? old?.contentType,
    producer: producer ?? old?.producer,
    body: spliced,
  };
}

/** What the caller needs of files that are there: the one it writes, and the one whose blocks it takes. */
function mayPublish(
  transaction: Transaction,
  { node, setMode, mode, mtime, base }: PublishCommand['args'],
  current: Inode | undefined,
): void {
  const { caller } = transaction;
  if (restricted(caller) === undefined) return;
  const where = () => describe(node);
  if (current !== undefined) {
    checkAccess(caller, current, WRITE, where);
    checkTimes(caller, current, { mtime }, where);
    if (setMode === true) changedMode(caller, current, mode, where);
  }
  if (base === undefined || base === current?.ino) return;
  const source = transaction.inode(base);
  if (source === undefined) throw notFound({ ino: base });
  checkAccess(caller, source, READ, () => describe({ ino: base }));
}

type Target = { readonly kind: 'file'; readonly inode: Inode } | { readonly kind: 'place'; readonly place: Place };

function findTarget(transaction: Transaction, args: PublishCommand['args'], fresh: FreshInodes): Target {
  const { node } = args;
  let ino: InodeNumber;
  if ('ino' in node) {
    ino = node.ino;
  } else {
    const makeDirectory = args.parents === true ? parentMaker(transaction, fresh, args) : undefined;
    const place = resolvePlace(transaction, node, { follow: true, makeDirectory });
    if (place.entry === undefined) return { kind: 'place', place };
    if (place.entry.type === 'directory') throw isDirectory(node);
    if (args.ifGeneration === 0) throw alreadyExists(node);
    ino = place.entry.ino;
  }
  const inode = transaction.inode(ino);
  if (inode === undefined) throw notFound(node);
  if (inode.type === 'directory') throw isDirectory(node);
  if (inode.type !== 'file') throw new NokvError('not-regular-file', `${describe(node)} is a ${inode.type}; only files have bodies`);
  return { kind: 'file', inode };
}

function makeFile(transaction: Transaction, place: Place, args: PublishCommand['args'], fresh: FreshInodes): Inode {
  const inode = makeInode(transaction, fresh.take(), 'file', args);
  editLiving(transaction, place.parent);
  insertFresh(transaction, place, inode);
  transaction.change('created', inode, location(place));
  return inode;
}

function checkPreconditions(transaction: Transaction, args: PublishCommand['args'], current: Inode | undefined): void {
  const { ifGeneration, ifDigest, node } = args;
  const generation = current?.generation ?? (0 as Generation);
  if (ifGeneration !== undefined && ifGeneration !== generation) {
    throw new NokvError(
      'generation-mismatch',
      `${describe(node)}: expected generation ${ifGeneration}, found ${generation}; read it again and decide`,
      {
        details: { expected: ifGeneration, generation },
      },
    );
  }
  if (ifDigest === undefined) return;
  const found = current === undefined || generation === 0 ? undefined : transaction.body(current.ino, generation)?.digest;
  if (found !== ifDigest) {
    throw new NokvError(
      'generation-mismatch',
      `${describe(node)}: expected digest ${ifDigest}, found ${found ?? 'none'}; read it again and decide`,
      {
        details: { expectedDigest: ifDigest, digest: found ?? null, generation },
      },
    );
  }
}

/** Every piece comes from the open upload of this publish or from a body that the base inode has or had. */
function checkPieces(transaction: Transaction, args: PublishCommand['args'], target: InodeNumber): void {
  if (args.body.kind === 'inline') return;
  const isOpen = args.upload !== undefined && liveUpload(transaction, args.upload) !== undefined;
  let reused = args.body.manifest.extents.filter(
    (extent): extent is Piece => !isHole(extent) && !(isOpen && extent.upload === args.upload),
  );
  if (reused.length === 0) return;
  for (const { body } of transaction.bodies(args.base ?? target)) {
    if (body.kind === 'inline') continue;
    const known = new Set<string>();
    for (const extent of body.manifest.extents) if (!isHole(extent)) known.add(pieceId(extent));
    reused = reused.filter((piece) => !known.has(pieceId(piece)));
    if (reused.length === 0) return;
  }
  const [piece] = reused;
  // Its blocks may have been moved together since it was asked for: who knows the generation asks again and finds them.
  if (args.ifGeneration !== undefined && args.ifGeneration > 0 && reused.every(({ upload }) => upload !== args.upload)) {
    throw new NokvError(
      'generation-mismatch',
      `${describe(args.node)}: generation ${args.ifGeneration} does not consist of these blocks (any more); read its plan again`,
      { details: { expected: args.ifGeneration, generation: args.ifGeneration } },
    );
  }
  throw new NokvError(
    'bad-upload',
    `${describe(args.node)}: block ${piece?.index} of upload ${piece?.upload} belongs neither to an open upload of this publish nor to ` +
      `a body of inode ${args.base ?? target}; begin an upload and send the block`,
    { details: { upload: piece?.upload ?? null, index: piece?.index ?? null } },
  );
}

/** What a piece is stored as; which part of it a file shows may differ. */
function pieceId({ upload, index, offset, length, crc32c, compression }: Piece): string {
  const form = compression === undefined ? '' : `/${compression.codec}/${compression.plainLength}/${compression.plainCrc32c}`;
  return `${upload}/${index}/${offset}/${length}/${crc32c}${form}`;
}

function checkArguments(args: PublishCommand['args']): void {
  checkText8(args.digest, 'a digest');
  checkText8(args.contentType, 'a content type');
  checkText8(args.producer, 'a producer');
  if (args.mtime !== undefined) checkTime(args.mtime);
  checkBody(args.body);
  if (args.splices !== undefined) checkSplices(args.splices, args.body, args.digest);
}

function checkBody(body: Body): void {
  if (body.kind === 'inline') {
    if (body.bytes.length > INLINE_BYTES_MAX) {
      throw new NokvError(
        'too-large',
        `an inline body has at most ${INLINE_BYTES_MAX} bytes, found ${body.bytes.length}; upload it as blocks`,
      );
    }
    return;
  }
  checkManifest(body.manifest);
}

function checkManifest({ size, extents }: Manifest): void {
  let sum = 0;
  const uploads = new Set<string>();
  for (const extent of extents) {
    if (!Number.isSafeInteger(extent.take) || extent.take < 1) throw badManifest(`an extent takes ${extent.take} bytes`);
    sum += extent.take;
    if (isHole(extent)) continue;
    uploads.add(extent.upload);
    checkPiece(extent);
  }
  if (sum !== size || !Number.isSafeInteger(size)) throw badManifest(`its extents hold ${sum} bytes, its size is ${size}`);
  if (uploads.size > UPLOADS_MAX)
    throw badManifest(`it names ${uploads.size} uploads, ${UPLOADS_MAX} at most are possible; rewrite the file`);
}

function checkPiece(piece: Piece): void {
  const { index, offset, length, crc32c, skip, take, compression, chunks } = piece;
  for (const value of [index, offset, length, crc32c, skip, take, compression?.plainLength ?? 0, compression?.plainCrc32c ?? 0]) {
    if (!Number.isInteger(value) || value < 0 || value > UINT32_MAX) throw badManifest(`${value} is no field of a piece`);
  }
  if (index >= UPLOAD_BLOCKS_MAX) throw badManifest(`block ${index}; an upload has ${UPLOAD_BLOCKS_MAX} blocks at most`);
  if (chunks !== undefined && (compression !== undefined || !isChunksOf(chunks, length)))
    throw badManifest(`a piece of ${length} bytes has no such chunks`);
  const plain = plainLength(piece);
  if (compression !== undefined && (plain > PLAIN_BYTES_MAX || length === 0))
    throw badManifest(`a compressed piece is made of ${PLAIN_BYTES_MAX} bytes at most, found ${plain} in ${length}`);
  if (skip + take > plain) throw badManifest(`a piece of ${plain} bytes cannot show ${take} from ${skip} on`);
}

function badManifest(what: string): NokvError {
  return new NokvError('invalid-argument', `the block list is wrong: ${what}`);
}
