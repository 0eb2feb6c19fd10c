/** Writes the page: the modules in one file for the window and one for the worker, and the files that need no change. */

import { build } from "esbuild";
import { cp, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../../python/fanin/page");

await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { page: "main.ts", worker: "work/worker.ts" },
  outdir: out,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});
for (const name of ["index.html", "page.css"]) await cp(join(here, name), join(out, name));
for (const name of ["kernels.simd.wasm", "kernels.plain.wasm"]) await cp(join(here, "../src", name), join(out, name));
