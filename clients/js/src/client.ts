/** Files of a Fanin service: ranges, retries, and the registration of recipes (docs/service.md). */

import { ServiceError } from "./errors.js";
import { Exchange } from "./exchange.js";
import { type LayoutLike, type Part, ends } from "./file.js";
import { FileLayout } from "./layout.js";
import { Retries, Unavailable } from "./retries.js";
import { type TensorData, ofFileBytes } from "./tensors.js";

/** A status that may pass: too many requests, or a server that is overloaded or unavailable. */
const BUSY = [429, 502, 503, 504];

export interface ServiceOptions {
  /** The API key. It is sent as `Authorization: Bearer`. */
  readonly token?: string;
  /** Further attempts after one without progress; 5 by default. */
  readonly attempts?: number;
  /** Seconds before the first further attempt, doubled for each next one; 0.2 by default. */
  readonly backoff?: number;
  /** Seconds without progress after which no attempt begins; 120 by default. */
  readonly patience?: number;
  /** Seconds to wait for a response, and for each next byte of it; 30 by default. */
  readonly timeout?: number;
  /** Function to use in place of `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  /** Aborts all requests. */
  readonly signal?: AbortSignal;
}

/** Return the service at a URL. */
export function fromService(url: string | URL, options: ServiceOptions = {}): Service {
  return new Service(url, options);
}

export class Service {
  private readonly root: string;
  private readonly attempts: number;
  private readonly backoff: number;
  private readonly patience: number;
  private readonly timeout: number;

  constructor(
    url: string | URL,
    private readonly options: ServiceOptions = {},
  ) {
    const parsed = new URL(url);
    if (!/^https?:$/.test(parsed.protocol) || parsed.search || parsed.hash || parsed.username || parsed.password) {
      throw new TypeError(
        `${parsed.origin}${parsed.pathname} is not the URL of a service: it must be http or https, without query, fragment and user`,
      );
    }
    this.root = parsed.href.replace(/\/+$/, "") + "/";
    this.attempts = options.attempts ?? 5;
    this.backoff = options.backoff ?? 0.2;
    this.patience = options.patience ?? 120;
    this.timeout = options.timeout ?? 30;
    if (!(this.timeout > 0)) throw new RangeError(`timeout is a number of seconds above 0, not ${this.timeout}`);
  }

  /** Register a recipe, and return its digest. Throws `ServiceError`, also where the service computes another digest. */
  async register(recipe: LayoutLike): Promise<string> {
    const layout = FileLayout.of(recipe);
    await this.retried(() => this.registerOnce(layout));
    return layout.recipe.digest;
  }

  /** Return bytes [start, stop) of the file. */
  async range(recipe: LayoutLike, start: number | bigint, stop: number | bigint): Promise<Uint8Array<ArrayBuffer>> {
    const layout = FileLayout.of(recipe),
      [first, last] = ends(layout, { start, stop });
    const found = new Uint8Array(Number(last - first));
    let at = 0;
    for await (const chunk of this.chunks(layout, first, last)) {
      found.set(chunk, at);
      at += chunk.length;
    }
    return found;
  }

  /** Return one tensor. Only its bytes are requested. Throws `RangeError` where the recipe does not have it. */
  async tensor(recipe: LayoutLike, name: string): Promise<TensorData> {
    const layout = FileLayout.of(recipe),
      entry = layout.entry(name);
    return ofFileBytes(entry, await this.range(layout, entry.start, entry.stop));
  }

  /** Return the file, or a part of it, as a stream. After a lost connection the download resumes. */
  stream(recipe: LayoutLike, part: Part = {}): ReadableStream<Uint8Array> {
    const layout = FileLayout.of(recipe),
      chunks = this.chunks(layout, ...ends(layout, part));
    return new ReadableStream(
      {
        async pull(controller) {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        async cancel() {
          await chunks.return(undefined);
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Yield bytes [start, stop) of the file in chunks. */
  private async *chunks(layout: FileLayout, start: bigint, stop: bigint): AsyncGenerator<Uint8Array, void, undefined> {
    const path = `v1/recipes/${layout.recipe.digest}/model.safetensors`,
      retries = new Retries(this.attempts, this.backoff, this.patience, this.options.signal);
    let at = start;
    while (at < stop) {
      try {
        for await (const chunk of this.once(layout, path, at, stop)) {
          at += BigInt(chunk.length);
          retries.moved();
          yield chunk;
        }
        if (at < stop) throw new Unavailable(`the body ended at byte ${at} of ${stop}`);
      } catch (error) {
        await retries.wait(error, () => this.registerOnce(layout));
      }
    }
  }

  /** Yield the bytes from `start` on that one request returns. */
  private async *once(
    layout: FileLayout,
    path: string,
    start: bigint,
    stop: bigint,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const exchange = new Exchange(this.timeout, this.options.signal);
    try {
      yield* this.received(exchange, layout, path, start, stop);
    } finally {
      exchange.end();
    }
  }

  private async *received(
    exchange: Exchange,
    layout: FileLayout,
    path: string,
    start: bigint,
    stop: bigint,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const response = await this.send(exchange, "GET", path, { Range: `bytes=${start}-${stop - 1n}` });
    const where = `GET ${this.root}${path}`,
      contentRange = response.headers.get("content-range") ?? "",
      tag = response.headers.get("etag");
    const isWhole = response.status === 200 && (!contentRange || contentRange.startsWith("bytes 0-"));
    let problem = "";
    if (!isWhole && (response.status !== 206 || !contentRange.startsWith(`bytes ${start}-`))) {
      problem = `requested bytes from ${start}, got status ${response.status} and Content-Range ${JSON.stringify(contentRange.slice(0, 80))}`;
    } else if (tag !== null && tag !== `"${layout.recipe.digest}"`) {
      problem = `the service sent the version ${tag.slice(0, 80)}, not that of the recipe`;
    } else if (contentRange && !contentRange.endsWith(`/${layout.size}`)) {
      problem = `the file has not the ${layout.size} bytes of its recipe`;
    } else if (!hasLength(response, isWhole ? layout.size : lengthOf(contentRange))) {
      // A proxy can put the complete file below the head of a range. Its first bytes would be treated as the range.
      problem = `Content-Length ${response.headers.get("content-length")} is not that of the bytes requested`;
    }
    if (problem || !response.body) {
      await response.body?.cancel();
      throw new ServiceError(`${where}: ${problem || "the response has no body"}`, response.status);
    }
    const reader = response.body.getReader();
    let skip = isWhole ? start : 0n,
      left = stop - start;
    try {
      for (;;) {
        const { done, value: chunk } = await exchange.wait(where, reader.read());
        if (done) return;
        const from = skip < BigInt(chunk.length) ? Number(skip) : chunk.length;
        skip -= BigInt(from);
        const wanted = chunk.subarray(from, left < BigInt(chunk.length - from) ? from + Number(left) : chunk.length);
        left -= BigInt(wanted.length);
        if (wanted.length) yield wanted;
        if (!left) return;
      }
    } catch (error) {
      this.options.signal?.throwIfAborted();
      if (error instanceof Unavailable) throw error;
      throw new Unavailable(`${where}: the connection ended: ${withCause(error)}`);
    } finally {
      // Not awaited: the source of a stream that sends nothing may not respond to this either.
      reader.cancel().catch(() => undefined);
    }
  }

  private async registerOnce(layout: FileLayout): Promise<void> {
    const exchange = new Exchange(this.timeout, this.options.signal),
      where = `POST ${this.root}v1/recipes`,
      { canonical, digest } = layout.recipe;
    try {
      const response = await this.send(exchange, "POST", "v1/recipes", { "Content-Type": "application/json" }, canonical);
      let found: { digest?: unknown };
      try {
        found = (await exchange.wait(where, response.json())) as { digest?: unknown };
      } catch (error) {
        this.options.signal?.throwIfAborted();
        if (error instanceof Unavailable) throw error;
        throw new ServiceError(`${where}: the response is not JSON: ${error}`, response.status);
      }
      if (found?.digest !== digest) {
        throw new ServiceError(`the service calls the recipe ${String(found?.digest)}, not ${digest}`, response.status);
      }
    } finally {
      exchange.end();
    }
  }

  private async retried(attempt: () => Promise<void>): Promise<void> {
    const retries = new Retries(this.attempts, this.backoff, this.patience, this.options.signal);
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        await retries.wait(error, null);
      }
    }
  }

  /** Send a request, and return the response if it is a success. */
  private async send(
    exchange: Exchange,
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: string,
  ): Promise<Response> {
    const { token, signal } = this.options,
      call = this.options.fetch ?? globalThis.fetch,
      where = `${method} ${this.root}${path}`;
    let response: Response;
    try {
      const sent = call(this.root + path, {
        method,
        headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) },
        ...(body !== undefined && { body }),
        signal: exchange.signal,
      });
      response = await exchange.wait(where, sent);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof Unavailable) throw error;
      throw new Unavailable(`${where}: no response: ${withCause(error)}`);
    }
    if (response.ok) return response;
    throw await exchange.wait(where, refusal(response, where));
  }
}

/** Return whether a response announces this many bytes. One without Content-Length, or with a coding, may have any. */
function hasLength(response: Response, size: bigint | null): boolean {
  const length = response.headers.get("content-length");
  return length === null || response.headers.has("content-encoding") || length === String(size);
}

/** Return how many bytes Content-Range announces; null if it is malformed (RFC 9110 section 14.4). */
function lengthOf(contentRange: string): bigint | null {
  const found = /^bytes ([0-9]+)-([0-9]+)\/[0-9]+$/.exec(contentRange);
  return found ? BigInt(found[2]!) - BigInt(found[1]!) + 1n : null;
}

/** Return the text of an error with that of its cause: `fetch failed` alone does not say what failed. */
function withCause(error: unknown): string {
  const { cause } = error as { cause?: { message?: string; code?: string; errors?: readonly Error[] } };
  if (!cause) return String(error);
  // A name with several addresses has an error for each.
  const texts = (cause.errors ?? [cause]).map((each) => (each as Error).message || String(each));
  const code = cause.code && !texts.some((text) => text.includes(cause.code!)) ? [cause.code] : [];
  return `${error} (${[...code, ...texts].join("; ")})`;
}

/** Return the error of a refusal, from problem+json (RFC 9457) if the service sent it. */
async function refusal(response: Response, where: string): Promise<ServiceError> {
  let problem: Record<string, unknown> = {};
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    const document: unknown = await response.json().catch(() => null);
    if (document !== null && typeof document === "object") problem = document as Record<string, unknown>;
  } else {
    await response.body?.cancel();
  }
  const words = [problem.title ?? response.statusText, ...(problem.detail ? [problem.detail] : [])].map(String);
  const message = `${where}: ${response.status} ${words.join("; ")}`;
  if (!BUSY.includes(response.status)) return new ServiceError(message, response.status, problem);
  const busy = new Unavailable(message, response.status, problem);
  busy.retryAfter = retryAfter(response.headers.get("retry-after"));
  return busy;
}

/** Return the seconds that a Retry-After header asks for (RFC 9110 section 10.2.3). */
function retryAfter(text: string | null): number | null {
  if (text === null) return null;
  if (/^[0-9]+$/.test(text)) return Number(text);
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : Math.max(0, (time - Date.now()) / 1000);
}
