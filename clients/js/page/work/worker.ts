/** The worker: answers the questions of the window one after another. */

import { RecipeError, ServiceError } from "../../src/errors.js";
import { sharedGenerator } from "../../src/plan.js";
import type { Answered, Asked, QuestionName, Questions } from "../protocol.js";
import { block } from "./block.js";
import { depth } from "./depth.js";
import { digest, serviceDigests, cancelDigest } from "./digest.js";
import { axisOf, look } from "./look.js";
import { overview, reseed } from "./overview.js";
import { find } from "./subject.js";
import { close, open, read } from "./transfer.js";

// The kernels are compiled while the window reads the recipe.
void sharedGenerator().catch(() => undefined);

type Answer<Name extends QuestionName> = Questions[Name][1];
type Handlers = {
  [Name in QuestionName]: (
    argument: Questions[Name][0],
    progress: (part: number) => void,
  ) => Answer<Name> | Promise<Answer<Name>>;
};

const HANDLERS: Handlers = {
  recipe: ({ text }) => overview(text),
  seed: ({ seed }) => reseed(seed),
  range: ({ subject }) => axisOf(find(subject).tensor),
  look,
  block,
  depth,
  digest,
  stopDigest: () => {
    cancelDigest();
    return {};
  },
  serviceDigests,
  open,
  read,
  close,
};

const port = self as unknown as { postMessage(message: Answered, transfer?: Transferable[]): void };

addEventListener("message", async (event: MessageEvent<Asked>) => {
  const { id, question, argument } = event.data;
  try {
    const handler = HANDLERS[question] as (argument: unknown, progress: (part: number) => void) => unknown;
    const answer = await handler(argument, (progress) => port.postMessage({ id, progress }));
    port.postMessage({ id, answer });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const faults = error instanceof RecipeError ? error.faults : undefined;
    const status = error instanceof ServiceError ? error.status : undefined;
    port.postMessage({
      id,
      error: { message, ...(faults && { faults }), ...(status !== undefined && { status }) },
    });
  }
});
