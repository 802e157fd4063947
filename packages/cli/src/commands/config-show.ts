import type { Call } from '../command.js';
import { columns } from '../output.js';
import { SETTING_KEYS } from '../settings.js';

/** Members of URLs and settings whose values are never shown. */
const SECRET_NAME = /token$|secret|password|credential|access_?key|session/i;

export async function configShow({ settings, output, io }: Call): Promise<void> {
  const rows = SETTING_KEYS.map((name) => {
    const { text, source, from } = settings.resolve(name);
    return { name, value: text === undefined ? null : maskSecrets(text), source, from: from === '' ? null : from };
  });
  const config = settings.file?.path ?? null;
  if (output.json) return await output.object({ config, settings: rows });
  await output.line(`configuration file: ${config ?? 'none (--config or NOKV_CONFIG)'}`);
  const hasKeys = (io.env.AWS_ACCESS_KEY_ID ?? '') !== '';
  await output.line(
    `bucket credentials: ${hasKeys ? 'AWS_ACCESS_KEY_ID and its secret, in the environment (masked)' : 'the AWS profile, if any'}`,
  );
  for (const line of columns(
    rows.map(({ name, value, source, from }) => [name, value ?? '-', from === null ? source : `${source} (${from})`]),
  )) {
    await output.line(line);
  }
}

/** Hides passwords and keys inside URLs: user information and query members with a telling name. */
export function maskSecrets(text: string): string {
  return text
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)([^/?#@]*)@/i, (_, scheme: string) => `${scheme}****@`)
    .replaceAll(/([?&])([^=&#]+)=([^&#]*)/g, (whole, mark: string, name: string) =>
      SECRET_NAME.test(name) ? `${mark}${name}=****` : whole,
    );
}
