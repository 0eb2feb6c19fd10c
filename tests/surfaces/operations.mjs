// What users do with huggingface.js, each as a function that throws when anything is not as it should be:
// node operations.mjs facts.json prints a line of JSON for each.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [factsPath, packages] = process.argv.slice(2);
const facts = JSON.parse(readFileSync(factsPath, "utf8"));
const hub = await import(pathToFileURL(createRequire(join(packages, "x.js")).resolve("@huggingface/hub")));
const hubUrl = `${facts.url}/hf`;
const tiny = { repo: { type: "model", name: "me/tiny" }, hubUrl, revision: "seed-42" };
const sha256 = async (blob) => createHash("sha256").update(Buffer.from(await blob.arrayBuffer())).digest("hex");

const operations = {
    "`downloadFile`, whole and a range": async () => {
        const blob = await hub.downloadFile({ ...tiny, path: "model.safetensors" });
        assert.equal(await sha256(blob), facts.sha256["me/tiny seed-42"]);
        const part = await blob.slice(8, 20).arrayBuffer();
        assert.equal(Buffer.from(part).toString("utf8", 0, 1), "{");
        assert.equal(await hub.downloadFile({ ...tiny, path: "absent" }), null);
    },
    "`modelInfo`, `listFiles`, `fileExists`, `pathsInfo`": async () => {
        const info = await hub.modelInfo({ name: "me/tiny", hubUrl, revision: "seed-42", additionalFields: ["sha"] });
        assert.equal(info.sha.length, 40);
        const files = [];
        for await (const file of hub.listFiles({ ...tiny, recursive: true })) files.push(file.path);
        assert.deepEqual(files.sort(), ["config.json", "model.safetensors", "vocab", "vocab/a.txt"]);
        assert.equal(await hub.fileExists({ ...tiny, path: "config.json" }), true);
        assert.equal(await hub.fileExists({ ...tiny, path: "absent" }), false);
        const found = await hub.pathsInfo({ ...tiny, paths: ["config.json", "absent"] });
        assert.deepEqual(found.map((entry) => entry.path), ["config.json"]);
    },
    "`parseSafetensorsMetadata`, whole and in shards": async () => {
        const whole = await hub.parseSafetensorsMetadata({ ...tiny, computeParametersCount: true });
        const cut = await hub.parseSafetensorsMetadata({
            ...tiny,
            revision: "seed-42-20kb",
            computeParametersCount: true,
        });
        assert.equal(whole.sharded, false);
        assert.equal(cut.sharded, true);
        assert.deepEqual(whole.parameterCount, cut.parameterCount);
    },
    "errors: model, revision, token": async () => {
        const refusal = async (call) => {
            try {
                await call();
            } catch (error) {
                return error;
            }
            throw new Error("it was answered");
        };
        const absent = await refusal(() => hub.modelInfo({ name: "me/absent", hubUrl }));
        assert.equal(absent.statusCode, 404);
        assert.match(absent.message, /no model has the name 'me\/absent'/);
        const revision = await refusal(() => hub.modelInfo({ name: "me/tiny", hubUrl, revision: "v1" }));
        assert.match(revision.message, /has no revision 'v1'/);
        const guarded = { name: "me/tiny", hubUrl: `${facts.guarded}/hf` };
        assert.equal((await refusal(() => hub.modelInfo({ ...guarded, accessToken: "hf_wrong" }))).statusCode, 401);
        assert.equal((await refusal(() => hub.modelInfo(guarded))).statusCode, 401);
    },
};

for (const [operation, run] of Object.entries(operations)) {
    const fault = await run().then(
        () => null,
        (error) => String(error.stack),
    );
    console.log(JSON.stringify({ operation, fault }));
}
