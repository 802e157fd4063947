/** The optional native binding (`@cocalc/fuse-native`, over libfuse 2): the only file that knows the package. */
import { NokvError } from '@nokv/types';

/** Seconds are milliseconds here: the binding hands times over as such. */
export interface NativeStat {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly dev: number;
  readonly nlink: number;
  readonly ino: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
}

/** The last argument of every operation: 0 or a negative errno (or a count of bytes), then what was asked for. */
export type NativeCallback = (result: number, ...values: readonly unknown[]) => void;
export type NativeOperation = (...args: readonly never[]) => void;

export interface NativeMount {
  mount(callback: (error: Error | null) => void): void;
  unmount(callback: (error: Error | null) => void): void;
}

type NativeConstructor = new (
  directory: string,
  operations: Readonly<Record<string, NativeOperation>>,
  options: Readonly<Record<string, unknown>>,
) => NativeMount;

export async function loadFuseNative(): Promise<NativeConstructor> {
  try {
    const name = '@cocalc/fuse-native';
    const loaded = (await import(name)) as { readonly default: NativeConstructor };
    return loaded.default;
  } catch (cause) {
    throw new NokvError(
      'unsupported',
      'expected the optional package @cocalc/fuse-native, which is not built here; install libfuse (Debian: apt-get install libfuse-dev) and run pnpm rebuild, or mount as root',
      { cause },
    );
  }
}
