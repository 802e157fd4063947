/** `node dist/testing/write-vectors.js`: writes vectors/messages.json anew, after a deliberate change of the protocol. */
import { writeFileSync } from 'node:fs';
import { protocolDigest } from '../digest.js';
import { PROTOCOL_VERSIONS } from '../hello.js';
import { goldenMessages } from './golden-messages.js';
import { encodeMessage } from './message.js';
import { toVectorJson } from './vector-json.js';

const vectors = goldenMessages().map(({ name, message }) => {
  return `    ${JSON.stringify({ name, message: toVectorJson(message), hex: Buffer.from(encodeMessage(message)).toString('hex') })}`;
});
const head = `  "protocol": ${PROTOCOL_VERSIONS.max},\n  "digest": "${protocolDigest()}",\n  "vectors": [\n`;
writeFileSync(new URL('../../vectors/messages.json', import.meta.url), `{\n${head}${vectors.join(',\n')}\n  ]\n}\n`);
