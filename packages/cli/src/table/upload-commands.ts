/** Uploads step by step, for machines that have a file and `curl`, but neither `nokv` nor credentials. */
import { command, one, toggle, value } from '../command.js';
import { parseCount, parseDigest, parseDuration, parseMode, parseText } from '../quantities.js';
import { mutationFlags } from './shared-flags.js';

const ttl = value('D', 'Time until the upload expires and is swept, from now (default 15m, at most 24h)', parseDuration);
const upload = one('UPLOAD', 'id of an open upload');

const uploadBegin = command({
  name: 'upload begin',
  group: 'files',
  summary: 'begin an upload whose blocks somebody else sends',
  notes: ['What is not published before the upload expires is swept. The ticket in --json is a secret until then.'],
  args: {},
  flags: { target: value('PATH', 'What it is for, shown to operators', parseText), ttl, ...mutationFlags },
  example: 'nokv upload begin --ttl 1h --json',
  schema: 'upload',
});

const uploadUrls = command({
  name: 'upload urls',
  group: 'files',
  summary: 'sign a URL for each block of a file, to be put without credentials',
  notes: [
    'Needs a store in S3. Without --json the lines are shell commands: dd cuts the block out of FILE, curl puts it. With --json each line',
    'has the block (index, offset, length, crc32c), the URL and the headers to send with it; "upload publish --blocks" reads these lines.',
    'A URL is good for exactly these bytes, while nothing is there, for ten minutes; ask again for more. It is a secret until then.',
  ],
  args: { upload, file: one('FILE', 'local file') },
  flags: { ttl },
  example: 'nokv upload urls 0192f5c3a1b20123456789abcdef0123 model.bin',
  schema: 'upload-url',
});

const uploadPublish = command({
  name: 'upload publish',
  group: 'files',
  summary: 'make a file of the blocks of an upload, in one step',
  notes: ['Refused, with nothing visible, when a block is missing, shorter, longer or other than the lines of "upload urls --json" say.'],
  args: { upload, destination: one('DST', 'remote path') },
  flags: {
    blocks: value('FILE', 'Lines of "nokv upload urls --json"; default: standard input', parseText),
    digest: value('DIGEST', 'Digest of the whole body to record (sha256:…)', parseDigest),
    ifGeneration: value('G', 'Only if the file is at generation G now; 0: only if nothing is there', parseCount),
    ifDigest: value('DIGEST', 'Only if the file has this digest now (sha256:…)', parseDigest),
    parents: toggle('Make missing parents', 'p'),
    contentType: value('TYPE', 'Content type to record, such as application/json', parseText),
    mode: value('MODE', 'Permissions of the file, octal (default 0644)', parseMode),
    ...mutationFlags,
  },
  example: 'nokv upload publish 0192f5c3a1b20123456789abcdef0123 /runs/7/model.bin --blocks blocks.jsonl',
  schema: 'put',
});

const uploadEnd = command({
  name: 'upload end',
  group: 'files',
  summary: 'end an upload that will not be published',
  notes: ['Its blocks are swept. Ending one that is gone already succeeds.'],
  args: { upload },
  flags: { ...mutationFlags },
  example: 'nokv upload end 0192f5c3a1b20123456789abcdef0123',
  schema: 'upload-end',
});

export const uploadCommands = { uploadBegin, uploadUrls, uploadPublish, uploadEnd };
