// Runs the cases of /cases.json in this page and in a worker, and sends the result to /result.
import { differences } from "./cases.js";

const violations = [];
addEventListener("securitypolicyviolation", (event) =>
  violations.push(`${event.violatedDirective} ${event.blockedURI}`),
);

function inWorker(cases) {
  return new Promise((resolve, reject) => {
    const worker = new Worker("worker.js", { type: "module" });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(cases);
  });
}

let result;
try {
  const cases = await (await fetch("/cases.json")).json();
  const page = await differences(cases),
    worker = await inWorker(cases);
  result = { count: cases.length, page, worker, violations };
} catch (error) {
  result = { error: String(error), violations };
}
await fetch("/result", { method: "POST", body: JSON.stringify(result) });
