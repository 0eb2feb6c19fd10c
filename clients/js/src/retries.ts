/** Further attempts of a call to a service. */

import { ServiceError } from "./errors.js";

const UNKNOWN = 404;
const MAX_BACKOFF = 10;

/** A failure after which another attempt may succeed. */
export class Unavailable extends ServiceError {
  override name = "ServiceError";
  retryAfter: number | null = null;
}

/** The failures of one call, and when to try again. */
export class Retries {
  private failures = 0;
  private registrations = 0;
  private since = performance.now();

  constructor(
    private readonly attempts: number,
    private readonly backoff: number,
    private readonly patience: number,
    private readonly signal?: AbortSignal,
  ) {}

  /** Note that bytes arrived. */
  moved(): void {
    this.failures = this.registrations = 0;
    this.since = performance.now();
  }

  /** Return when another attempt may begin, after the recipe was registered if it is missing; throw `error` if none helps. */
  async wait(error: unknown, register: (() => Promise<void>) | null): Promise<void> {
    if (!(error instanceof ServiceError)) throw error;
    if (error.status === UNKNOWN && register && this.registrations <= this.attempts) {
      this.registrations++;
      try {
        return await register();
      } catch (failure) {
        return this.wait(failure, null);
      }
    }
    if (!(error instanceof Unavailable) || ++this.failures > this.attempts) throw error;
    const growth = Math.min(this.backoff * 2 ** (this.failures - 1), MAX_BACKOFF) * (1 + Math.random() / 2);
    const seconds = error.retryAfter ?? growth;
    if ((performance.now() - this.since) / 1000 + seconds > this.patience) throw error;
    await pause(seconds, this.signal);
  }
}

/** Wait for this many seconds. Throws the reason of the signal as soon as it is aborted. */
function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", end, { once: true });
  });
}
