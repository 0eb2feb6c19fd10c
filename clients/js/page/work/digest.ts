/** SHA-256 of a tensor or of the file, generated in parts so that other requests are served between them. */

import { Generator } from "../../src/composed.js";
import type { FileLayout } from "../../src/layout.js";
import { rangeOf, sharedGenerator } from "../../src/plan.js";
import { Sha256 } from "../../src/sha256.js";
import { ServiceError } from "../../src/errors.js";
import { fromService } from "../../src/client.js";
import type { DigestAnswer, ServiceDigests } from "../protocol.js";
import { checkWork } from "./sample.js";
import { layoutNow } from "./subject.js";

const PART = 1 << 20;

const hex = (bytes: Uint8Array): string => [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
/** Let messages that wait be received. */
export const breathe = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

let cancelled = 0;
/** Stop the digest that is computed now. */
export const cancelDigest = (): void => void cancelled++;

/** Return SHA-256 of a tensor, or of the file if `name` is null, and of its blocks. */
export async function digest(
  { name, blockSize }: { name: string | null; blockSize: number },
  progress: (part: number) => void,
): Promise<DigestAnswer> {
  const own = ++cancelled,
    layout: FileLayout = layoutNow(),
    generator: Generator = await sharedGenerator();
  const entry = name === null ? null : layout.entry(name);
  for (const each of entry ? [entry] : layout.entries) checkWork(each.draw);
  const [start, stop] = entry ? [entry.start, entry.stop] : [0n, layout.size];
  const whole = new Sha256(),
    blocks: string[] = [];
  let block = new Sha256(),
    filled = 0;
  for (let at = start; at < stop;) {
    const room = BigInt(Math.min(PART, blockSize - filled)),
      end = at + room < stop ? at + room : stop;
    const bytes = rangeOf(layout, generator, at, end);
    whole.update(bytes);
    block.update(bytes);
    filled += bytes.length;
    if (filled === blockSize || end === stop) {
      blocks.push(hex(block.digest()));
      block = new Sha256();
      filled = 0;
    }
    at = end;
    progress(Number(at - start) / Number(stop - start));
    await breathe();
    if (own !== cancelled) throw new Error("stopped");
  }
  return { sha256: hex(whole.digest()), blocks };
}

/** Times to request digests that the service is computing, and most seconds between two requests. */
const ATTEMPTS = 60,
  LONGEST = 10;

/** Return the digests that the service computed of a tensor. Throws `ServiceError`. */
export async function serviceDigests({ root, token, name }: { root: string; token: string; name: string }): Promise<ServiceDigests> {
  const { recipe } = layoutNow();
  await fromService(root, token ? { token } : {}).register(recipe);
  const url = `${root}v1/recipes/${recipe.digest}/digests`;
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(url, token ? { headers: { Authorization: `Bearer ${token}` } } : {});
    if (response.ok) {
      const found = (await response.json()) as { block_size: number; file: string; tensors: Record<string, string[]> };
      return { blockSize: found.block_size, file: found.file, blocks: found.tensors[name] ?? [] };
    }
    const problem = (await response.json().catch(() => ({}))) as { title?: string; detail?: string };
    if (response.status !== 503 || attempt >= ATTEMPTS)
      throw new ServiceError(problem.detail ?? problem.title ?? `status ${response.status}`, response.status);
    const seconds = Math.min(Number(response.headers.get("Retry-After")) || 1, LONGEST);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}
