/**
 * Configuration: flag over environment over file over default. One table names every setting; `config show`, the
 * flags of `serve`, the environment and the file's keys are read from it.
 */
import { DATA_DIRECTORY_DEFAULT, HTTP_PORT_DEFAULT, LOOPBACK, NokvError, RPC_PORT_DEFAULT, parseCaller } from '@nokv/types';
import type { ConfigFile } from './config-file.js';
import { type Flag, flagName, value } from './command.js';
import { parseChoice, parseDuration, parseInteger, parseSize, parseText } from './quantities.js';

interface Setting<T> {
  readonly label: string;
  readonly env: string;
  readonly help: string;
  readonly parse: (text: string) => T;
  /** As text, parsed like the rest; absent: none. */
  readonly default?: string;
}

const setting = <T>(row: Setting<T>): Setting<T> => row;

/** What every command that talks to a server reads. */
export const CLIENT_SETTINGS = {
  server: setting({
    label: 'ADDRESS',
    env: 'NOKV_SERVER',
    help: 'Server to talk to: HOST:PORT, unix:PATH or several separated by commas',
    parse: parseText,
    default: `${LOOPBACK}:${RPC_PORT_DEFAULT}`,
  }),
  tokenFile: setting({ label: 'FILE', env: 'NOKV_TOKEN_FILE', help: 'File that holds the access token', parse: parseText }),
  as: setting({
    label: 'UID[:GID,…]',
    env: 'NOKV_AS',
    help: 'Act for this user and these groups: the server checks permissions; without it calls are trusted. Mounts go by the kernel instead',
    parse: parseCaller,
  }),
  cacheDir: setting({
    label: 'DIR',
    env: 'NOKV_CACHE_DIR',
    help: 'Keep blocks that were read in this directory, or "off"; default: nokv in $XDG_CACHE_HOME or ~/.cache, save for what lies on this machine anyway',
    parse: parseText,
  }),
  cacheSize: setting({
    label: 'SIZE',
    env: 'NOKV_CACHE_SIZE',
    help: 'What that directory may hold; 0: off',
    parse: parseSize,
    default: '10GiB',
  }),
  timeout: setting({
    label: 'D',
    env: 'NOKV_TIMEOUT',
    help: 'Time for each call to the server (250ms, 30s, 5m)',
    parse: parseTimeout,
    default: '30s',
  }),
  s3Client: setting({
    label: 'CLIENT',
    env: 'NOKV_S3_CLIENT',
    help: 'How objects of a bucket are put and read; lean: requests that we sign; sdk: by the AWS SDK, several times slower',
    parse: parseChoice('lean', 'sdk'),
    default: 'lean',
  }),
} as const;

/** What `serve` reads. */
export const SERVER_SETTINGS = {
  data: setting({
    label: 'DIR',
    env: 'NOKV_DATA',
    help: 'Directory of metadata and, by default, of file bodies',
    parse: parseText,
    default: `./${DATA_DIRECTORY_DEFAULT}`,
  }),
  listen: setting({
    label: 'HOST:PORT',
    env: 'NOKV_LISTEN',
    help: 'Address of the RPC port, or unix:PATH; port 0 picks a free one',
    parse: parseText,
    default: `${LOOPBACK}:${RPC_PORT_DEFAULT}`,
  }),
  http: setting({
    label: 'HOST:PORT',
    env: 'NOKV_HTTP',
    help: 'Address of the HTTP port (health, metrics, objects); port 0 picks a free one',
    parse: parseText,
    default: `${LOOPBACK}:${HTTP_PORT_DEFAULT}`,
  }),
  object: setting({
    label: 'URL',
    env: 'NOKV_OBJECT',
    help: 'Where bodies live: file:///dir or s3://bucket/prefix?endpoint=URL&region=R&pathStyle=true (also storageClass, sse, sseKmsKeyId, ca); default: under the data directory',
    parse: parseText,
  }),
  control: setting({
    label: 'URL',
    env: 'NOKV_CONTROL',
    help: 'Who owns the namespace: embedded: or etcd://host:2379[,host]/prefix',
    parse: parseText,
    default: 'embedded:',
  }),
  durability: setting({
    label: 'MODE',
    env: 'NOKV_DURABILITY',
    help: 'When a write is acknowledged; local: after fsync; shared: once it is in the log in the object store, from which other nodes take over; async: after fsync, the log follows',
    parse: parseChoice('local', 'shared', 'async'),
    default: 'local',
  }),
  nodeId: setting({
    label: 'ID',
    env: 'NOKV_NODE_ID',
    help: 'Name of this node in the fleet; default: drawn once and kept',
    parse: parseText,
  }),
  leaseTtl: setting({
    label: 'D',
    env: 'NOKV_LEASE_TTL',
    help: 'Time to live of the ownership lease',
    parse: parseDuration,
    default: '3s',
  }),
  orphanGrace: setting({
    label: 'D',
    env: 'NOKV_ORPHAN_GRACE',
    help: 'How long blocks that nothing knows stay after they were found in the store',
    parse: parseDuration,
    default: '24h',
  }),
  changeWindow: setting({
    label: 'D',
    env: 'NOKV_CHANGE_WINDOW',
    help: 'How long changes are kept for "nokv watch --since"',
    parse: parseDuration,
    default: '24h',
  }),
  changeWindowBytes: setting({
    label: 'SIZE',
    env: 'NOKV_CHANGE_WINDOW_BYTES',
    help: 'How many bytes of changes are kept',
    parse: parseSize,
    default: '2GiB',
  }),
  changeWindowVersions: setting({
    label: 'N',
    env: 'NOKV_CHANGE_WINDOW_VERSIONS',
    help: 'How many versions back changes are kept',
    parse: parseInteger(1, Number.MAX_SAFE_INTEGER),
    default: '134217728',
  }),
  logLevel: setting({
    label: 'LEVEL',
    env: 'NOKV_LOG_LEVEL',
    help: 'Log lines on stderr: debug, info, warn, error or silent',
    parse: parseChoice('debug', 'info', 'warn', 'error', 'silent'),
    default: 'warn',
  }),
} as const;

type ClientKey = keyof typeof CLIENT_SETTINGS;
type ServerKey = keyof typeof SERVER_SETTINGS;
export type SettingKey = ClientKey | ServerKey;
type Rows = typeof CLIENT_SETTINGS & typeof SERVER_SETTINGS;
type SettingValue<K extends SettingKey> = Rows[K] extends Setting<infer T> ? T : never;

const ROWS: Readonly<Record<SettingKey, Setting<unknown>>> = { ...CLIENT_SETTINGS, ...SERVER_SETTINGS };
export const SETTING_KEYS = Object.keys(ROWS).filter((key): key is SettingKey => key in ROWS);

export type SettingSource = 'flag' | 'environment' | 'file' | 'default';

export interface Resolved<T> {
  readonly value: T | undefined;
  readonly text: string | undefined;
  readonly source: SettingSource;
  /** `--server`, `NOKV_SERVER` or the file's path; empty for a default. */
  readonly from: string;
}

export class Settings {
  constructor(
    private readonly flags: Readonly<Partial<Record<SettingKey, string>>>,
    private readonly env: Readonly<Record<string, string | undefined>>,
    readonly file: ConfigFile | undefined,
  ) {}

  /** The same settings with a command's own flags on top. */
  with(flags: Readonly<Partial<Record<SettingKey, string | undefined>>>): Settings {
    const given = Object.fromEntries(Object.entries(flags).filter((entry) => entry[1] !== undefined));
    return new Settings({ ...this.flags, ...given }, this.env, this.file);
  }

  get<K extends SettingKey>(key: K): SettingValue<K> | undefined {
    return this.resolve(key).value;
  }

  /** A setting that has a default. */
  must<K extends SettingKey>(key: K): SettingValue<K> {
    const found = this.get(key);
    if (found === undefined) throw new NokvError('bad-configuration', `${key} is not set; give --${flagName(key)} or ${ROWS[key].env}`);
    return found;
  }

  resolve<K extends SettingKey>(key: K): Resolved<SettingValue<K>> {
    const row = ROWS[key];
    const found = this.find(key, row);
    if (found.text === undefined) return { ...found, value: undefined };
    try {
      // The table ties the key to the type that its parse returns.
      return { ...found, value: row.parse(found.text) as SettingValue<K> };
    } catch (error) {
      if (!(error instanceof NokvError)) throw error;
      const code = found.source === 'flag' ? 'invalid-argument' : 'bad-configuration';
      throw new NokvError(code, `${found.from}${found.source === 'file' ? `: ${key}` : ''}: ${error.message}`, { cause: error });
    }
  }

  private find(key: SettingKey, row: Setting<unknown>): { text: string | undefined; source: SettingSource; from: string } {
    const flag = this.flags[key];
    if (flag !== undefined) return { text: flag, source: 'flag', from: `--${flagName(key)}` };
    const env = this.env[row.env];
    if (env !== undefined && env !== '') return { text: env, source: 'environment', from: row.env };
    const file = this.file?.values[key];
    if (this.file !== undefined && file !== undefined) return { text: file, source: 'file', from: this.file.path };
    return { text: row.default, source: 'default', from: '' };
  }
}

/** The flags of a group of settings; their texts are parsed by {@link Settings.resolve}. */
export function settingFlags<K extends SettingKey>(
  rows: Readonly<Record<K, Setting<unknown>>>,
): Readonly<Record<K, Flag<string | undefined>>> {
  const flags: Partial<Record<K, Flag<string | undefined>>> = {};
  for (const key of Object.keys(rows) as K[]) {
    const { label, help, default: fallback, env } = rows[key];
    flags[key] = value(label, `${help} (${env}${fallback === undefined ? '' : `; default ${fallback}`})`, parseText);
  }
  return flags as Record<K, Flag<string | undefined>>;
}

function parseTimeout(text: string): number {
  const ms = parseDuration(text);
  if (ms < 1 || ms > 24 * 3_600_000) throw new NokvError('invalid-argument', `expected a time from 1ms to 24h, found "${text}"`);
  return ms;
}
