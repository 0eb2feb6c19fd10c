/** The file of the recipe in chunks, generated here or received from the service. */

import { fromService } from "../../src/client.js";
import { fileStream } from "../../src/file.js";
import { layoutNow } from "./subject.js";

let reader: ReadableStreamDefaultReader<Uint8Array> | null = null;

export async function open({ source, root, token }: { source: "browser" | "service"; root: string; token: string }): Promise<{ size: number }> {
  await close();
  const layout = layoutNow();
  const stream = source === "service" ? fromService(root, token ? { token } : {}).stream(layout) : fileStream(layout);
  reader = stream.getReader();
  return { size: Number(layout.size) };
}

/** Return the next chunk; null at the end. */
export async function read(): Promise<{ chunk: Uint8Array<ArrayBuffer> | null }> {
  const found = await reader!.read();
  return { chunk: found.done ? null : (found.value as Uint8Array<ArrayBuffer>) };
}

export async function close(): Promise<Record<string, never>> {
  const open = reader;
  reader = null;
  // A stream that failed repeats its error here. It was reported when it failed, and the next file is another one.
  await open?.cancel().catch(() => undefined);
  return {};
}
