/** Names of tensors, and repeated names: names with sets of numbers, each for many tensors (SPEC.md sections 2.3, 2.5). */

import { Invalid } from "./errors.js";

const MAX_NAME_BYTES = 1024;
/** Most tensors of a recipe with repeated names. */
export const MAX_NAMES = 2 ** 20;
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const INTEGER = "(?:0|[1-9][0-9]{0,8})";
const ITEM = `${INTEGER}(?:\\.\\.${INTEGER}(?:\\.\\.[1-9][0-9]{0,8})?)?`;
const SET = new RegExp(`\\{(${ITEM}(?:,${ITEM})*)\\}`, "g");
const encoder = new TextEncoder();

interface Range {
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

/** Throw `Invalid` where a text is not the name of a tensor. */
export function checkName(name: string): void {
  if (!name) throw new Invalid("a tensor name must be a string that is not empty");
  if (LONE.test(name)) throw new Invalid("a tensor name must be valid Unicode, without lone surrogates");
  if (name.length > MAX_NAME_BYTES || encoder.encode(name).length > MAX_NAME_BYTES) {
    throw new Invalid(`a tensor name has at most ${MAX_NAME_BYTES} bytes of UTF-8`);
  }
  if (CONTROL.test(name)) throw new Invalid("a tensor name must not contain control characters");
  if (name === "__metadata__") throw new Invalid("__metadata__ is reserved by the safetensors format");
}

/** Throw `Invalid` where a text is not a repeated name. */
export function checkRepeated(name: string): void {
  checkName(name);
  const sets = [...name.matchAll(SET)].map((match) => match[1]!);
  if (!sets.length || /[{}]/.test(name.replace(SET, ""))) {
    throw new Invalid("a repeated name has sets of numbers such as {0..79} or {1..31..2,40} and no other braces");
  }
  for (const set of sets) {
    let before = -1;
    for (const { first, last, step } of ranges(set)) {
      if (last < first || (last - first) % step) {
        throw new Invalid(`an item of {${set}} does not reach its last number from its first in steps of this size`);
      }
      if (first <= before) throw new Invalid(`the numbers of {${set}} are not in ascending order`);
      before = last;
    }
  }
}

function ranges(set: string): Range[] {
  return set.split(",").map((item) => {
    const [first, last = first, step = 1] = item.split("..").map(Number) as [number, number?, number?];
    return { first, last, step };
  });
}

/** Return the number of names that a repeated name stands for. It may be a wrong one. */
export function countNames(repeated: string): number {
  if (repeated.length > MAX_NAME_BYTES) return 1;
  let found = 1;
  for (const match of repeated.matchAll(SET)) {
    found *= ranges(match[1]!).reduce(
      (total, { first, last, step }) => total + Math.max(Math.floor((last - first) / step) + 1, 0),
      0,
    );
  }
  return found;
}

/** Yield the names that a repeated name stands for. The numbers of the last set change fastest. */
export function* writtenOut(repeated: string): Generator<string> {
  const texts: string[] = [],
    sets: Range[][] = [];
  let at = 0;
  for (const match of repeated.matchAll(SET)) {
    texts.push(repeated.slice(at, match.index));
    sets.push(ranges(match[1]!));
    at = match.index + match[0].length;
  }
  const rest = repeated.slice(at);
  function* from(place: number, before: string): Generator<string> {
    if (place === sets.length) {
      yield before + rest;
      return;
    }
    for (const { first, last, step } of sets[place]!) {
      for (let n = first; n <= last; n += step) yield* from(place + 1, before + texts[place]! + n);
    }
  }
  yield* from(0, "");
}
