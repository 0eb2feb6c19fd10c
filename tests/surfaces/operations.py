"""Operations of users with clients of the Hugging Face Hub, each a function that raises if a result is wrong.

Runs in a separate process, with the version of the clients that is on its path:

    HF_ENDPOINT=http://127.0.0.1:8000/hf python -m tests.surfaces.operations facts.json

Prints JSON: the name of the clients, and a line for each operation.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

Operation = Callable[["Facts"], None]
OPERATIONS: dict[str, Operation] = {}


class Facts:
    """Facts about the models, from the test that serves them."""

    def __init__(self, path: str) -> None:
        document = json.loads(Path(path).read_text())
        self.url: str = document["url"]
        """URL of the service."""
        self.guarded: str = document["guarded"]
        """URL of a service that requires keys."""
        self.key: str = document["key"]
        self.cutting: list[str] = document["cutting"]
        """URLs of bad networks in front of the first service. Each closes some connections early."""
        self.alternating: str = document["alternating"]
        """URL of a load balancer for two services with separate stores. Each has another model `me/moved`."""
        self.pushed: str = document["pushed"]
        """URL of a load balancer that replaces `me/moved` and closes the connection while weights are sent."""
        self.by_commit: dict[str, str] = document["by_commit"]
        """SHA-256 of model.safetensors of `me/moved`, by commit id."""
        self.literals: dict[str, str] = document["literals"]
        """SHA-256 of the tensors of `me/wav2vec2`, some of which are literals."""
        self.sha256: dict[str, str] = document["sha256"]
        """SHA-256 of model.safetensors, by model and revision such as `me/tiny seed-42`."""
        self.architectures: list[str] = document["architectures"]
        """Models with a config.json for transformers; their `template.json` contains the recipe."""
        self.in_shards: str = document["in_shards"]
        """A revision of these models in several files."""

    def generated(self) -> int:
        """Return the number of bytes that the service has generated until now."""
        text = urllib.request.urlopen(f"{self.url}/metrics").read().decode()
        found = re.search(r"^fanin_generated_bytes_total (\S+)$", text, re.MULTILINE)
        assert found
        return int(float(found[1]))


def operation(name: str) -> Callable[[Operation], Operation]:
    """Register a function as the operation of this name. The documentation shows the name."""

    def note(function: Operation) -> Operation:
        OPERATIONS[name] = function
        return function

    return note


def clients() -> str:
    """Return the name of this process's clients in the documentation's table."""
    return ", ".join(f"{package} {version(package)}" for package in ("huggingface_hub", "transformers"))


def digest(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@operation("`hf_hub_download`, and again from the cache")
def download(facts: Facts) -> None:
    from huggingface_hub import hf_hub_download

    def fetch(**options: Any) -> str:
        return hf_hub_download("me/tiny", "model.safetensors", revision="seed-42", **options)

    assert digest(fetch()) == facts.sha256["me/tiny seed-42"]
    made = facts.generated()
    assert digest(fetch()) == digest(fetch(local_files_only=True)) == facts.sha256["me/tiny seed-42"]
    assert facts.generated() == made
    assert Path(hf_hub_download("me/tiny", "config.json")).read_bytes().startswith(b"{")


@operation("two seeds and two storage types in one cache")
def two_seeds(facts: Facts) -> None:
    from huggingface_hub import hf_hub_download

    for revision in ("seed-1", "seed-2", "seed-1-bf16", "seed-2"):
        path = hf_hub_download("me/tiny", "model.safetensors", revision=revision)
        assert digest(path) == facts.sha256[f"me/tiny {revision}"], revision


@operation("a model name without a namespace")
def one_part(facts: Facts) -> None:
    from huggingface_hub import hf_hub_download

    path = hf_hub_download("tiny", "model.safetensors", revision="seed-42")
    assert digest(path) == facts.sha256["me/tiny seed-42"]


@operation("`snapshot_download`, sharded")
def snapshot(facts: Facts) -> None:
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download("me/tiny", revision="seed-42-20kb"))
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    for name in set(index["weight_map"].values()):
        assert digest(folder / name) == facts.sha256[f"me/tiny seed-42-20kb {name}"]
    assert (folder / "vocab" / "a.txt").read_bytes() == b"a\n"
    made = facts.generated()
    assert Path(snapshot_download("me/tiny", revision="seed-42-20kb")) == folder
    assert facts.generated() == made


@operation("`hf download`")
def command_line(facts: Facts) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "huggingface_hub.cli.hf", "download", "me/tiny", "--revision", "seed-42"]
        subprocess.run([*command, "--local-dir", folder], check=True, capture_output=True)
        assert digest(Path(folder, "model.safetensors")) == facts.sha256["me/tiny seed-42"]


@operation("`HfApi`: model information, listings, refs, existence checks")
def api(facts: Facts) -> None:
    from huggingface_hub import HfApi

    hub, files = HfApi(), ["config.json", "model.safetensors", "vocab/a.txt"]
    info = hub.model_info("me/tiny", revision="seed-42", files_metadata=True)
    assert len(info.sha) == 40
    assert [sibling.rfilename for sibling in info.siblings] == files
    assert info.safetensors.total == sum(info.safetensors.parameters.values()) > 0
    assert sorted(hub.list_repo_files("me/tiny", revision="seed-42")) == files
    tree = {entry.path: entry for entry in hub.list_repo_tree("me/tiny", revision="seed-42", recursive=True)}
    assert tree["vocab/a.txt"].size == 2
    assert "vocab" in tree
    found = hub.get_paths_info("me/tiny", ["config.json", "vocab", "absent"], revision="seed-42", expand=True)
    assert [entry.path for entry in found] == ["config.json", "vocab"]
    assert found[0].last_commit.oid == info.sha
    assert [branch.name for branch in hub.list_repo_refs("me/tiny").branches] == ["main"]
    assert hub.list_repo_refs("me/tiny").branches[0].target_commit == hub.model_info("me/tiny").sha
    assert hub.repo_exists("me/tiny")
    assert not hub.repo_exists("me/absent")
    assert hub.revision_exists("me/tiny", "seed-42")
    assert not hub.revision_exists("me/tiny", "v1")
    assert hub.file_exists("me/tiny", "config.json", revision="seed-42")
    assert not hub.file_exists("me/tiny", "absent", revision="seed-42")
    assert "me/tiny" in [model.id for model in hub.list_models(author="me", search="tin")]


@operation("`HfApi`: access checks, commits, other repository types; unsupported list filters are refused")
def more_api(facts: Facts) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RepositoryNotFoundError

    hub = HfApi()
    hub.auth_check("me/tiny")
    (commit,) = hub.list_repo_commits("me/tiny", revision="seed-42")
    assert commit.commit_id == hub.model_info("me/tiny", revision="seed-42").sha
    for kind in ("dataset", "space"):
        assert not hub.repo_exists("me/tiny", repo_type=kind)
        assert not hub.file_exists("me/tiny", "config.json", repo_type=kind)
    assert list(hub.list_datasets()) == list(hub.list_spaces()) == []
    assert len(list(hub.list_models(author="me", filter="safetensors", sort="likes", limit=2))) == 2
    refused = [
        (RepositoryNotFoundError, lambda: hub.auth_check("me/absent")),
        (RepositoryNotFoundError, lambda: hub.dataset_info("me/tiny")),
        (BadRequestError, lambda: list(hub.list_models(pipeline_tag="text-generation"))),
        (BadRequestError, lambda: list(hub.list_models(filter="transformers"))),
        (BadRequestError, lambda: list(hub.list_models(sort="created_at"))),
        (HfHubHTTPError, lambda: hub.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id="me/tiny")),
    ]
    for kind, call in refused:
        try:
            call()
        except kind:
            continue
        raise AssertionError(f"no {kind.__name__}")


@operation("`hf cache verify`: small files always, weights once the service has computed their SHA-256")
def verified(facts: Facts) -> None:
    from huggingface_hub import HfApi, snapshot_download

    import fanin

    folder = snapshot_download("me/tiny", revision="seed-4242")

    def wrong() -> list[str]:
        found = HfApi().verify_repo_checksums("me/tiny", revision=Path(folder).name)
        assert found.checked_count == 3
        return [mismatch["path"] for mismatch in found.mismatches]

    assert wrong() in ([], ["model.safetensors"])  # known if another client has requested it before
    with Path(folder, "model.safetensors").open("rb") as file, fanin.Client(facts.url) as client:
        client.digests(fanin.file.disk.layout_of(file))
    assert wrong() == []


@operation("`get_safetensors_metadata`, unsharded and sharded")
def metadata(facts: Facts) -> None:
    from huggingface_hub import HfApi

    whole = HfApi().get_safetensors_metadata("me/tiny", revision="seed-42")
    cut = HfApi().get_safetensors_metadata("me/tiny", revision="seed-42-20kb")
    assert (whole.sharded, cut.sharded) == (False, True)
    assert whole.parameter_count == cut.parameter_count
    assert whole.weight_map.keys() == cut.weight_map.keys()


@operation("`HfFileSystem`")
def filesystem(facts: Facts) -> None:
    from huggingface_hub import HfFileSystem

    files = HfFileSystem()
    names = {entry["name"].rpartition("/")[2]: entry for entry in files.ls("me/tiny@seed-42", detail=True)}
    assert names.keys() == {"config.json", "model.safetensors", "vocab"}
    assert names["vocab"]["type"] == "directory"
    assert [path.rpartition("@")[2] for path in files.glob("me/tiny@seed-42/**/*.txt")] == ["seed-42/vocab/a.txt"]
    path = "me/tiny@seed-42/model.safetensors"
    assert files.info(path)["size"] == names["model.safetensors"]["size"]
    with files.open(path, "rb") as file:
        whole = file.read()
        file.seek(100)
        assert file.read(50) == whole[100:150]
    assert hashlib.sha256(whole).hexdigest() == facts.sha256["me/tiny seed-42"]
    assert files.cat_file(path, start=10, end=20) == whole[10:20]
    assert not files.exists("me/tiny@seed-42/absent")


@operation("errors: unknown model, revision and file, invalid token")
def errors(facts: Facts) -> None:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def refusal(kind: type[Exception], call: Callable[[], object]) -> str:
        try:
            call()
        except kind as error:
            return str(error)
        raise AssertionError(f"no {kind.__name__}")

    hub = HfApi()
    for call in (lambda: hf_hub_download("me/absent", "x"), lambda: hub.model_info("me/absent")):
        assert "no model has the name 'me/absent'" in refusal(RepositoryNotFoundError, call)
    for call in (
        lambda: hf_hub_download("me/tiny", "config.json", revision="v1"),
        lambda: hub.model_info("me/tiny", revision="v1"),
        lambda: list(hub.list_repo_tree("me/tiny", revision="v1")),
    ):
        assert "me/tiny has no revision 'v1': a revision is main, or seed-N" in refusal(RevisionNotFoundError, call)
    words = refusal(EntryNotFoundError, lambda: hf_hub_download("me/tiny", "absent", revision="seed-42"))
    assert "this revision has no file 'absent'" in words

    def guarded(token: str | bool) -> Callable[[], str]:
        return lambda: hf_hub_download("me/tiny", "config.json", endpoint=f"{facts.guarded}/hf", token=token)

    assert Path(guarded(facts.key)()).exists()
    assert HfApi(endpoint=f"{facts.guarded}/hf", token=facts.key).whoami()["name"] == "reader"
    assert HfApi(endpoint=f"{facts.guarded}/hf", token=facts.key).model_info("me/tiny").id == "me/tiny"
    with tempfile.TemporaryDirectory() as folder:
        fresh = HfApi(endpoint=f"{facts.guarded}/hf", token="wrong")
        for call in (
            lambda: fresh.model_info("me/tiny"),
            lambda: fresh.get_hf_file_metadata(url=f"{facts.guarded}/hf/me/tiny/resolve/main/config.json"),
            lambda: fresh.snapshot_download("me/tiny", cache_dir=folder),
        ):
            assert "Invalid credentials" in refusal(HfHubHTTPError, call)


@operation("an interrupted download resumes")
def resumed(facts: Facts) -> None:
    from huggingface_hub import hf_hub_download

    for endpoint in facts.cutting:
        for _ in range(4):
            try:
                path = hf_hub_download("me/large", "model.safetensors", revision="seed-42", endpoint=f"{endpoint}/hf")
                break
            except Exception:  # old versions resume at the next call
                time.sleep(0.1)
        assert digest(path) == facts.sha256["me/large seed-42"]


def stored(facts: Facts, endpoint: str, attempts: int) -> int:
    """Return the number of successful downloads, each in a separate cache.

    Fail if one stores other bytes than those of its commit id.
    """
    from huggingface_hub import hf_hub_download

    ended = 0
    for _ in range(attempts):
        with tempfile.TemporaryDirectory() as folder:
            try:
                hf_hub_download("me/moved", "model.safetensors", endpoint=f"{endpoint}/hf", cache_dir=folder)
                ended += 1
            except Exception:  # an error is better than wrong bytes
                time.sleep(0.01)
            for path in Path(folder).glob("*/snapshots/*/model.safetensors"):
                assert digest(path) == facts.by_commit[path.parent.name], path.parent.name
    return ended


@operation("replicas without a shared store, and an upload during a download: no wrong bytes")
def moved(facts: Facts) -> None:
    assert stored(facts, facts.alternating, 24) >= 1
    assert stored(facts, facts.pushed, 4) >= 2


@cache
def transformers() -> Any:
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    return transformers


def loaded(name: str, revision: str, **options: Any) -> Any:
    config = transformers().AutoConfig.from_pretrained(name, revision=revision)
    kind = getattr(transformers(), config.architectures[0])
    return kind.from_pretrained(name, revision=revision, **options).eval()


def logits(model: Any) -> Any:
    import torch

    ids = torch.arange(7)[None] % 50
    with torch.no_grad():
        given = {"input_ids": ids, "decoder_input_ids": ids} if model.config.is_encoder_decoder else {"input_ids": ids}
        return model(**given).logits


LOADED = "`from_pretrained` of five architectures, unsharded and sharded: the logits of `fanin.torch.init_`"


@operation(LOADED)
def from_pretrained(facts: Facts) -> None:
    import torch
    from huggingface_hub import hf_hub_download

    import fanin.torch

    for name in facts.architectures:
        whole = loaded(name, "seed-42")
        recipe = json.loads(Path(hf_hub_download(name, "template.json")).read_text())
        filled = fanin.torch.init_(type(whole)(whole.config), recipe, seed=42).eval()
        expected = logits(filled)
        assert torch.isfinite(expected).all()
        assert torch.equal(logits(whole), expected), name
        assert torch.equal(logits(loaded(name, facts.in_shards)), expected), f"{name} in shards"
        assert not torch.equal(logits(loaded(name, "seed-43")), expected), f"{name} with another seed"


@operation("`from_pretrained` of Wav2Vec2, which has literals: every tensor as recorded")
def literals(facts: Facts) -> None:
    model = transformers().AutoModel.from_pretrained("me/wav2vec2")
    state = model.state_dict()
    assert state.keys() == facts.literals.keys()
    for name, tensor in state.items():
        assert hashlib.sha256(tensor.numpy().tobytes()).hexdigest() == facts.literals[name], name


@operation("`from_pretrained` in bfloat16")
def bfloat16(facts: Facts) -> None:
    import torch

    name = facts.architectures[0]
    model = loaded(name, "seed-42-bf16", torch_dtype="auto")
    assert model.dtype is torch.bfloat16
    assert torch.isfinite(logits(model).float()).all()


@operation("`from_pretrained` of float8 weights as float32")
def float8(facts: Facts) -> None:
    import torch

    model = loaded(facts.architectures[0], "seed-42-f8_e4m3", torch_dtype=torch.float32)
    assert model.dtype is torch.float32, model.dtype
    assert torch.isfinite(logits(model)).all()


@operation("`AutoTokenizer`, and its error if the model has no tokenizer")
def tokenizer(facts: Facts) -> None:
    auto = transformers().AutoTokenizer
    assert auto.from_pretrained("me/words", revision="seed-42")("two one")["input_ids"] == [2, 1]
    try:
        auto.from_pretrained("me/tiny", revision="seed-42")
    except (OSError, ValueError, KeyError):
        return
    raise AssertionError("a tokenizer came from nowhere")


@operation("fsspec `http`")
def over_http(facts: Facts) -> None:
    import fsspec

    url = f"{facts.url}/hf/me/tiny/resolve/seed-42/model.safetensors"
    with fsspec.open(url, "rb", block_size=4096) as file:
        file.seek(1000)
        middle = file.read(100)
        file.seek(0)
        whole = file.read()
    assert middle == whole[1000:1100]
    assert hashlib.sha256(whole).hexdigest() == facts.sha256["me/tiny seed-42"]


@operation("safetensors-streaming")
def streaming(facts: Facts) -> None:
    import safetensors_streaming
    from huggingface_hub import hf_hub_download
    from safetensors.torch import load_file

    url = f"{facts.url}/hf/me/tiny/resolve/seed-42/model.safetensors"
    expected = load_file(hf_hub_download("me/tiny", "model.safetensors", revision="seed-42"))
    streamed = safetensors_streaming.load_file(url)
    assert streamed.keys() == expected.keys()
    assert all((streamed[name] == tensor).all() for name, tensor in expected.items())


def main(path: str, names: list[str]) -> None:
    facts = Facts(path)
    print(json.dumps({"clients": clients()}))
    for name in names or OPERATIONS:
        began = time.perf_counter()
        try:
            OPERATIONS[name](facts)
            fault = None
        except ModuleNotFoundError as error:
            fault = f"not there: {error.name}"
        except Exception:
            fault = traceback.format_exc()
        seconds = round(time.perf_counter() - began, 2)
        print(json.dumps({"operation": name, "fault": fault, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
