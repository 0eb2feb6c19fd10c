/** Canonical JSON (RFC 8785). */

/** A plain JSON value. Numbers are float64 numbers; the strings have no lone surrogates. */
export type Plain = null | boolean | number | string | readonly Plain[] | { readonly [name: string]: Plain };

/** Return the text. ECMAScript's own spelling of numbers and strings is that of RFC 8785. */
export function canonicalJson(value: Plain): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const object = value as { readonly [name: string]: Plain };
    const members = Object.keys(object).sort(byCodeUnits);
    return `{${members.map((name) => `${JSON.stringify(name)}:${canonicalJson(object[name]!)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** Compare by UTF-16 code units, the order of RFC 8785. */
export function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Compare by code points, the order of tensors in a file. */
export function byCodePoints(a: string, b: string): number {
  const end = Math.min(a.length, b.length);
  let at = 0;
  while (at < end && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  if (at === end) return a.length - b.length;
  const x = a.charCodeAt(at),
    y = b.charCodeAt(at);
  // Surrogates stand for code points above all others, but their code units are below U+E000.
  const isHigh = (unit: number) => unit >= 0xd800 && unit <= 0xdfff;
  return isHigh(x) !== isHigh(y) ? (isHigh(x) ? 1 : -1) : x - y;
}
