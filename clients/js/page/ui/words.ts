/** Numbers as people read them. */

/** Return a number with at most `digits` significant digits. */
export function number(value: number, digits = 4): string {
  if (!Number.isFinite(value)) return value > 0 ? "infinity" : "-infinity";
  const rounded = Number(value.toPrecision(digits));
  return Math.abs(rounded) < 1e6 ? String(rounded) : rounded.toExponential().replace("e+", "e");
}

export const count = (value: number | string | bigint): string => BigInt(value).toLocaleString("en-US");

/** Return a number of things, such as "1 tensor" and "2 tensors". */
export const things = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Return a number of bytes in units of 1000. */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
  let place = 0;
  for (; value >= 1000 && place < units.length - 1; place++) value /= 1000;
  return `${place ? Number(value.toPrecision(3)) : value} ${units[place]}`;
}

export const shape = (sizes: readonly number[]): string => sizes.join(" × ") || "scalar";
export const percent = (part: number): string => `${number(100 * part, 3)} %`;
