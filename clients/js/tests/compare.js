// Reads cases (see cases.js) as JSON from standard input, and prints what differs.
import { differences } from "./cases.js";

let text = "";
for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
const cases = JSON.parse(text);
console.log(JSON.stringify({ count: cases.length, differences: await differences(cases) }));
