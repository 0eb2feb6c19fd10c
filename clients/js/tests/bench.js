// Prints the nanoseconds of CPU time for an element of each recipe of the first argument, as JSON. The second argument
// is `simd` or `plain`, the kernels to use.
import { FileLayout, Generator, loadKernels } from "../dist/index.js";

const RUNS = 4; // the first one warms the engine up, and the fastest of the others counts
const [recipes, kernels] = process.argv.slice(2);
const generator = new Generator(await loadKernels(kernels === "simd"));

function nanoseconds(recipe) {
  const [{ draw, stream, dtype, count }] = FileLayout.of(recipe).entries;
  const out = new Uint8Array(Number(count) * dtype.size);
  const times = Array.from({ length: RUNS }, () => {
    const before = process.cpuUsage();
    generator.fill(draw, stream, dtype, 0n, out);
    const { user, system } = process.cpuUsage(before);
    return ((user + system) * 1000) / Number(count);
  });
  return Math.min(...times.slice(1));
}

console.log(JSON.stringify(JSON.parse(recipes).map(nanoseconds)));
