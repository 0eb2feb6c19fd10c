/** The worker that computes everything, seen from the window. */

import type { Fault } from "../../src/errors.js";
import type { Answered, Asked, QuestionName, Questions } from "../protocol.js";

/** The worker reports an error. */
export class EngineError extends Error {
  constructor(
    message: string,
    readonly faults: readonly Fault[],
    readonly status: number | null,
  ) {
    super(message);
  }
}

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
  progress?(part: number): void;
}

const waiting = new Map<number, Waiting>();
let next = 0;

const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
worker.addEventListener("message", ({ data }: MessageEvent<Answered>) => {
  const asked = waiting.get(data.id);
  if (!asked) return;
  if (data.progress !== undefined) {
    asked.progress?.(data.progress);
    return;
  }
  waiting.delete(data.id);
  const { error } = data;
  if (error) asked.reject(new EngineError(error.message, error.faults ?? [], error.status ?? null));
  else asked.resolve(data.answer);
});
worker.addEventListener("error", (event) => {
  for (const asked of waiting.values()) asked.reject(new EngineError(`the worker failed: ${event.message}`, [], null));
  waiting.clear();
});

/** Ask the worker. Throws `EngineError`. */
export function ask<Name extends QuestionName>(
  question: Name,
  argument: Questions[Name][0],
  progress?: (part: number) => void,
): Promise<Questions[Name][1]> {
  const id = next++;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve: resolve as (answer: unknown) => void, reject, ...(progress && { progress }) });
    worker.postMessage({ id, question, argument } satisfies Asked);
  });
}

/** Runs one task at a time. While one runs, only the newest other task waits. */
export class Latest {
  private isBusy = false;
  private pending: (() => Promise<void>) | null = null;

  run(task: () => Promise<void>): void {
    if (this.isBusy) {
      this.pending = task;
      return;
    }
    this.isBusy = true;
    void task().finally(() => {
      this.isBusy = false;
      const following = this.pending;
      this.pending = null;
      if (following) this.run(following);
    });
  }
}
