"""The npm package: its files, its README, and its types in a program without those of the DOM."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from tests.js.test_javascript import CLIENT, built
from tests.js.test_page import NODE, with_packages

__all__ = ["built"]
_PROGRAM = """
import { createReadStream } from "node:fs";
import { type Index, describe, fileStream, fromService, loadKernels, schemes, slice, tensor, verify } from "fanin";
const recipe = { shape: [4, 3], scheme: "he_normal" };
const index = [[0, 2], null];
const typed: Index = index;
const count: number = (await tensor(recipe, "weight")).data.length;
const served = await fromService("http://127.0.0.1:9").tensor(recipe, "weight");
console.log(count, served, await slice(recipe, "weight", index), typed, describe(recipe));
console.log(schemes(), await loadKernels());
await verify(createReadStream("x"), recipe);
await verify(fileStream(recipe));
"""
_CONFIGURATION = {
    "compilerOptions": {
        "target": "es2022",
        "module": "nodenext",
        "moduleResolution": "nodenext",
        "lib": ["ES2022"],
        "types": ["node"],
        "strict": True,
        "skipLibCheck": False,
        "noEmit": True,
    },
    "include": ["program.ts"],
}


def test_the_types_need_neither_the_dom_nor_a_cast(built: Path, tmp_path: Path) -> None:
    with_packages("@types/node")
    package = tmp_path / "node_modules" / "fanin"
    shutil.copytree(built / "dist", package / "dist")
    shutil.copy(built / "package.json", package)
    for name in ("@types", "undici-types"):
        shutil.copytree(built / "node_modules" / name, tmp_path / "node_modules" / name)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "program.ts").write_text(_PROGRAM)
    (tmp_path / "tsconfig.json").write_text(json.dumps(_CONFIGURATION))
    compiler = built / "node_modules" / ".bin" / "tsc"
    run = subprocess.run([compiler, "-p", tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_the_tarball_has_the_licence_and_the_kernels(built: Path) -> None:
    assert NODE
    command = [shutil.which("npm") or "npm", "pack", "--dry-run", "--json", "--ignore-scripts", "--offline"]
    run = subprocess.run(command, cwd=built, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (packed,) = json.loads(run.stdout)
    names = {file["path"] for file in packed["files"]}
    assert {"LICENSE", "README.md", "package.json", "dist/index.js", "dist/index.d.ts"} <= names
    assert {"dist/kernels.simd.wasm", "dist/kernels.plain.wasm"} <= names
    assert (CLIENT / "LICENSE").read_bytes() == (CLIENT.parents[1] / "LICENSE").read_bytes()


def test_the_readme_links_to_nothing_outside_of_the_tarball() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (CLIENT / "README.md").read_text("utf-8"))
    assert [link for link in links if not re.match(r"https://|#", link)] == []
