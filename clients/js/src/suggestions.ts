/** Hints in errors: the names that exist where a wrong one was given. */

import { DIALECTS } from "./dialects/index.js";
import { STORAGE } from "./dtypes.js";

/** Return the error of a name that is not a scheme: the nearest scheme, and the dialects that have the name. */
export function unknownScheme(name: unknown, schemes: Iterable<string>): string {
  const found = String(name),
    // HeNormal and kaiming_normal_, as other libraries write names
    snake = found.replace(/(?<=[a-z])(?=[A-Z])/g, "_").replace(/^_+|_+$/g, "").toLowerCase();
  const theirs = [...DIALECTS].flatMap(([dialect, library]) => (library.has(found) ? [`${found} with "dialect": "${dialect}"`] : []));
  const all = [...schemes];
  // A name of a dialect gets no scheme that is merely similar: trunc_normal_ of torch has other bounds than truncated_normal.
  const near = all.includes(snake) ? snake : theirs.length ? null : nearest(snake, all);
  const meant = [...(near ? [near] : []), ...theirs];
  return meant.length ? `unknown scheme; did you mean ${meant.join(", or ")}?` : "unknown scheme; schemes() lists all";
}

/** Return the error of a value that is not a storage type. */
export function unknownType(value: unknown): string {
  const all = [...STORAGE.keys()];
  const name = String(value)
    .toLowerCase()
    .replace(/^.*\./, "")
    .replace(/fn$/, "")
    .replace(/^(bf|f|c|u?i)(?:loat|p|omplex|nt)/, "$1")
    .replace(/ean$/, "")
    .toUpperCase()
    .replace("UI", "U");
  return `unknown storage type; there are ${all.join(", ")}${STORAGE.has(name) ? `; did you mean ${name}?` : ""}`;
}

/** Return the hint of a name that is not one of these. */
export function instead(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  if (near) return `; did you mean ${near}?`;
  return known.length ? `; there are ${known.join(", ")}` : "; there are none";
}

/** Return the known name that needs the fewest changes of a letter, if they are few. */
function nearest(name: string, known: readonly string[]): string | null {
  let best: string | null = null,
    least = Math.max(Math.ceil(name.length / 3), 1) + 1;
  // Distances of long names would take long.
  if (name.length > 100) return null;
  for (const each of known) {
    const distance = distanceOf(name, each);
    if (distance < least) [best, least] = [each, distance];
  }
  return best;
}

/** Return the number of letters to insert, delete or replace (Levenshtein). */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
