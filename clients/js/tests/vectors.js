// The public vectors, as objects.
import { readFileSync } from "node:fs";

const folder = new URL("../../vectors/", import.meta.url);
export const vectors = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8"));
