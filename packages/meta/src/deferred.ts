/** A promise and the functions that settle it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export function deferred<T>(): Deferred<T> {
  return new PromiseAndSettlers<T>();
}

/** One shape, three fields: every command that is waited for has one. */
class PromiseAndSettlers<T> implements Deferred<T> {
  readonly promise: Promise<T>;
  resolve: (value: T) => void = nothing;
  reject: (error: unknown) => void = nothing;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

function nothing(): void {
  // Replaced before anybody can call it.
}
