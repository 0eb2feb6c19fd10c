/** One request and its response. */

import { Unavailable } from "./retries.js";

/** Largest delay of a timer in milliseconds. A longer one would end at once. */
const MAX_DELAY = 2 ** 31 - 1;

/** Ends a request if nothing arrives for some time, and if `outer` is aborted. */
export class Exchange {
  private readonly control = new AbortController();

  constructor(
    private readonly seconds: number,
    private readonly outer: AbortSignal | undefined,
  ) {
    if (outer?.aborted) this.abort();
    else outer?.addEventListener("abort", this.abort);
  }

  /** The signal of the request. */
  get signal(): AbortSignal {
    return this.control.signal;
  }

  /** Return what `step` of the request `where` gives. Throws `Unavailable` if it takes too long. */
  async wait<T>(where: string, step: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      const end = () => {
        const error = new Unavailable(`${where}: nothing arrived for ${this.seconds} seconds`);
        reject(error);
        this.control.abort(error);
      };
      timer = setTimeout(end, Math.min(this.seconds * 1000, MAX_DELAY));
    });
    try {
      return await Promise.race([step, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Leave `outer` alone from now on. */
  end(): void {
    this.outer?.removeEventListener("abort", this.abort);
  }

  private readonly abort = (): void => this.control.abort(this.outer?.reason);
}
