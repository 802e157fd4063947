/**
 * Directories whose every name this mount knows: those it made itself, and those it listed because names were missed there. A lookup of a name that is not among them is answered without
 * asking the server, which is most of what creating many files costs. A change from outside ends the knowledge.
 *
 * Bounded: a directory with more names than the limit, and any directory once all together hold too many, is asked about again.
 */
const NAMES_PER_DIRECTORY_MAX = 20_000;
const NAMES_MAX = 500_000;

export class KnownNames {
  readonly #byDirectory = new Map<number, Set<string>>();
  #names = 0;

  /** A directory that was just made (no names), or listed whole. */
  begin(directory: number, names: readonly Uint8Array[] = []): void {
    this.forget(directory);
    if (this.#names + names.length > NAMES_MAX) return;
    this.#byDirectory.set(directory, new Set(names.map(key)));
    this.#names += names.length;
  }

  /** True when the name is certainly not there. */
  lacks(directory: number, name: Uint8Array): boolean {
    const names = this.#byDirectory.get(directory);
    return names !== undefined && !names.has(key(name));
  }

  add(directory: number, name: Uint8Array): void {
    const names = this.#byDirectory.get(directory);
    if (names === undefined) return;
    const before = names.size;
    names.add(key(name));
    this.#names += names.size - before;
    if (names.size > NAMES_PER_DIRECTORY_MAX || this.#names > NAMES_MAX) this.forget(directory);
  }

  remove(directory: number, name: Uint8Array): void {
    if (this.#byDirectory.get(directory)?.delete(key(name)) === true) this.#names -= 1;
  }

  forget(directory: number): void {
    this.#names -= this.#byDirectory.get(directory)?.size ?? 0;
    this.#byDirectory.delete(directory);
  }

  forgetAll(): void {
    this.#byDirectory.clear();
    this.#names = 0;
  }
}

function key(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1');
}
