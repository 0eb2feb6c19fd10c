"""The Hub API, request by request: the fields that its clients read, and requests that must not generate weights."""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

import fanin
from fanin.file import archive
from fanin.file import layout as file_layout
from fanin.file.order import FileOrder
from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.models.snapshot import Snapshot
from fanin_service.routes import hub_api
from fanin_service.settings import Settings
from fanin_service.surfaces import hub as hub_words
from fanin_service.surfaces import hub_requests
from tests.support.backends import CountingBackend
from tests.support.servers import Running, running

RECIPE: dict[str, Any] = {
    "dtype": "F32",
    "layout": "torch",
    "tensors": {
        "wte.weight": {"shape": [1000, 64], "scheme": "normal", "std": 0.02},
        "fc.weight": {"shape": [64, 64], "scheme": "he_normal"},
        "norm.weight": {"shape": [64], "scheme": "ones", "dtype": "F32"},
    },
}
FILES = {
    "config.json": b'{"model_type": "tiny", "dtype": "float32"}',
    "vocab/a.txt": b"a\n",
    "vocab/deep/b.txt": b"b\n",
    "tokenizer.model": bytes(range(256)),
}
FILE = "model.safetensors"
RESOLVE = "/hf/me/tiny/resolve/seed-42"
API = "/hf/api/models/me/tiny"


def test_a_list_is_encoded_item_by_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call of the encoder lets no other thread run."""
    given = [{"id": "é", "tags": ["a", "b"]}, [], [1, [2.5, None]], "x"]
    encode, encoded = json.dumps, []

    def dumps(value: Any, **options: Any) -> str:
        encoded.append(value)
        return encode(value, **options)

    monkeypatch.setattr(json, "dumps", dumps)
    content = hub_api._encoded(given)
    assert content == encode(given, ensure_ascii=False, separators=(",", ":")).encode()
    assert encoded == [given[0], 1, 2.5, None, "x"]


def put(client: httpx.Client, name: str = "me/tiny", recipe: Any = RECIPE, **headers: str) -> None:
    packed = archive.pack({**FILES, "recipe.json": json.dumps(recipe).encode()})
    headers = {"Content-Type": archive.MEDIA_TYPE, **headers}
    assert client.put(f"/v1/models/{name}", content=packed, headers=headers).status_code in (200, 201)
    client.follow_redirects = True  # clients of the Hub follow the redirect from a name to its commit id


@pytest.fixture(scope="module")
def backend() -> CountingBackend:
    return CountingBackend()


@pytest.fixture(scope="module")
def hub(backend: CountingBackend) -> Iterator[Running]:
    with running(Settings(stall_seconds=30), backend) as server:
        put(server.client)
        put(server.client, "tiny")
        yield server


@pytest.fixture
def client(hub: Running) -> httpx.Client:
    return hub.client


def commit_of(client: httpx.Client, revision: str = "seed-42") -> str:
    sha: str = client.get(f"{API}/revision/{revision}").json()["sha"]
    return sha


def raw(hub: Running, path: str, method: str = "HEAD") -> tuple[int, dict[str, str]]:
    """Send a request whose path is not normalized."""
    connection = HTTPConnection(*hub.address)
    connection.request(method, path)
    answer = connection.getresponse()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


class TestFiles:
    def test_head_says_all_and_makes_nothing(self, client: httpx.Client, backend: CountingBackend) -> None:
        made = backend.generated
        file_layout = fanin.FileLayout.of({**RECIPE, "seed": 42})
        head = client.head(f"{RESOLVE}/{FILE}", headers={"Accept-Encoding": "identity"})
        assert (head.status_code, head.headers["Content-Length"]) == (200, str(file_layout.size))
        assert head.headers["X-Repo-Commit"] == commit_of(client)
        assert len(head.headers["ETag"]) == 42
        assert set(head.headers["ETag"].strip('"')) <= set("0123456789abcdef")
        assert head.headers["Accept-Ranges"] == "bytes"
        assert not [name for name in head.headers if name.startswith("x-xet")]
        assert backend.generated == made

    def test_get_is_the_file_of_the_recipe(self, client: httpx.Client, tmp_path: Path) -> None:
        fanin.save({**RECIPE, "seed": 42}, tmp_path / FILE)
        whole = (tmp_path / FILE).read_bytes()
        assert client.get(f"{RESOLVE}/{FILE}").content == whole
        assert client.get(f"/hf/tiny/resolve/{commit_of(client)}/{FILE}").content == whole
        assert client.get(f"/hf/me/tiny/raw/seed-42/{FILE}").content == whole
        for text, part in (("0-0", whole[:1]), ("0-7", whole[:8]), ("100000-", whole[100_000:]), ("-9", whole[-9:])):
            answer = client.get(f"{RESOLVE}/{FILE}", headers={"Range": f"bytes={text}"})
            assert (answer.status_code, answer.content) == (206, part)
            assert answer.headers["Content-Range"].endswith(f"/{len(whole)}")
            assert "X-Repo-Commit" in answer.headers
        beyond = client.get(f"{RESOLVE}/{FILE}", headers={"Range": f"bytes=8-{len(whole) + 1}"})
        assert (beyond.status_code, beyond.content) == (206, whole[8:])

    def test_small_files(self, client: httpx.Client) -> None:
        for path, content in FILES.items():
            answer = client.get(f"{RESOLVE}/{path}")
            assert (answer.status_code, answer.content) == (200, content)
            part = client.get(f"{RESOLVE}/{path}", headers={"Range": "bytes=1-100000"})
            assert (part.status_code, part.content) == (206, content[1:])
            again = client.get(f"{RESOLVE}/{path}", headers={"If-None-Match": answer.headers["ETag"]})
            assert (again.status_code, again.headers["X-Repo-Commit"]) == (304, commit_of(client))
        assert client.get(f"{RESOLVE}-bf16/config.json").json() == {"model_type": "tiny", "dtype": "bfloat16"}

    def test_a_name_is_redirected_to_its_commit(self, client: httpx.Client, backend: CountingBackend) -> None:
        """Requests after a client's HEAD are thus for the commit that the HEAD returned."""
        made, commit = backend.generated, commit_of(client)
        for verb in ("resolve", "raw"):
            for path in (FILE, "vocab/deep/b.txt"):
                fixed = client.head(f"/hf/me/tiny/{verb}/{commit}/{path}")
                for method in ("GET", "HEAD"):
                    url = f"/hf/me/tiny/{verb}/seed-42/{path}"
                    answer = client.request(method, url, follow_redirects=False, headers={"Range": "bytes=0-0"})
                    assert (answer.status_code, answer.content) == (307, b"")
                    assert answer.headers["Location"] == f"/hf/me/tiny/{verb}/{commit}/{path}"
                    assert answer.headers["X-Repo-Commit"] == commit
                    assert answer.headers["ETag"] == answer.headers["X-Linked-ETag"] == fixed.headers["ETag"]
                    assert answer.headers["X-Linked-Size"] == fixed.headers["Content-Length"]
                    assert answer.headers["Cache-Control"] == "no-cache"
        assert backend.generated == made

    def test_what_may_be_kept(self, client: httpx.Client) -> None:
        fixed = f"/hf/me/tiny/resolve/{commit_of(client)}/{FILE}"
        assert client.head(fixed).headers["Cache-Control"] == "public, max-age=31536000, immutable"

    def test_shards(self, client: httpx.Client) -> None:
        root = "/hf/me/tiny/resolve/seed-42-20kb"
        assert client.head(f"{root}/{FILE}").headers["X-Error-Code"] == "EntryNotFound"
        index = client.get(f"{root}/{FILE}.index.json").json()
        assert index["metadata"]["total_size"] == 4 * (64_000 + 4096 + 64)
        tree = client.get(f"{API}/tree/seed-42-20kb?recursive=true").json()
        sizes = {entry["path"]: entry["size"] for entry in tree}
        for path in set(index["weight_map"].values()):
            answer = client.get(f"{root}/{path}")
            assert len(answer.content) == sizes[path]

    def test_a_put_is_seen_and_the_old_commit_stays(self, hub: Running) -> None:
        client = hub.client
        put(client, "me/changing")
        url = "/hf/me/changing/resolve/main/model.safetensors"
        before = client.get(url)
        pinned = before.url
        put(client, "me/changing", {**RECIPE, "seed": 1})
        after = client.get(url)
        assert after.headers["ETag"] != before.headers["ETag"]
        assert after.headers["X-Repo-Commit"] != before.headers["X-Repo-Commit"]
        old = client.get(pinned)
        assert old.content == before.content != after.content
        client.delete("/v1/models/me/changing")
        assert client.get(url).headers["X-Error-Code"] == "RepoNotFound"

    def test_files_of_more_than_50_gb_are_cut(self, client: httpx.Client, backend: CountingBackend) -> None:
        made = backend.generated
        huge = {"tensors": {f"{n}": {"shape": [1 << 20, 4096], "scheme": "normal", "std": 0.02} for n in range(8)}}
        put(client, "me/huge", huge)
        for revision in ("main", "seed-1-bf16", "seed-1-f64-49gb"):
            tree = client.get(f"/hf/api/models/me/huge/tree/{revision}?recursive=true").json()
            sizes = [entry["size"] for entry in tree if entry["path"].endswith(".safetensors")]
            assert len(sizes) > 1
            assert max(sizes) < 50e9
        assert backend.generated == made


class TestApi:
    def test_revision(self, client: httpx.Client) -> None:
        found = client.get(f"{API}/revision/seed-42").json()
        assert found["id"] == "me/tiny"
        assert len(found["sha"]) == 40
        assert [each["rfilename"] for each in found["siblings"]] == sorted([*FILES, FILE])
        assert found["safetensors"] == {"parameters": {"F32": 68160}, "total": 68160}
        assert client.get(f"{API}/revision/{found['sha']}").json() == found
        assert client.get(API).json()["sha"] == client.get(f"{API}/revision/main").json()["sha"]
        assert client.get(f"{API}/revision/seed-0").json()["sha"] == client.get(API).json()["sha"]
        blobs = client.get(f"{API}/revision/seed-42?blobs=true").json()["siblings"]
        for each in blobs:
            head = client.head(f"{RESOLVE}/{each['rfilename']}")
            assert head.headers["Content-Length"] == str(each["size"])

    def test_files_can_be_compared(self, client: httpx.Client) -> None:
        """Small files have their Git blob id, and weights their SHA-256 if it has been computed."""
        recipe = {**RECIPE, "seed": 77}
        digest = client.post("/v1/recipes", json=recipe).json()["digest"]
        url = f"{API}/tree/seed-77?recursive=true"
        before = {entry["path"]: entry for entry in client.get(url).json()}
        for path, content in FILES.items():
            assert before[path]["oid"] == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        assert "lfs" not in before[FILE]
        assert client.get(f"/v1/recipes/{digest}/digests").status_code == 200
        lfs = next(entry["lfs"] for entry in client.get(url).json() if entry["path"] == FILE)
        whole = client.get(f"/hf/me/tiny/resolve/seed-77/{FILE}").content
        assert (lfs["oid"], lfs["size"]) == (hashlib.sha256(whole).hexdigest(), len(whole))
        siblings = client.get(f"{API}/revision/seed-77?blobs=true").json()["siblings"]
        assert {each["rfilename"]: each.get("lfs") for each in siblings}[FILE] == lfs

    def test_tree(self, client: httpx.Client) -> None:
        def paths(query: str) -> list[tuple[str, str]]:
            answer = client.get(f"{API}/tree/{query}")
            assert answer.status_code == 200
            assert answer.headers["X-Repo-Commit"] == commit_of(client)
            return [(entry["type"], entry["path"]) for entry in answer.json()]

        files = [("file", path) for path in sorted([*FILES, FILE])]
        top = sorted(
            [*(file for file in files if "/" not in file[1]), ("directory", "vocab")], key=lambda each: each[1]
        )
        assert paths("seed-42") == paths("seed-42?recursive=false&expand=false") == top
        folders = [("directory", "vocab"), ("directory", "vocab/deep")]
        assert sorted(paths("seed-42?recursive=true")) == sorted(files + folders)
        assert paths("seed-42/vocab") == [("file", "vocab/a.txt"), ("directory", "vocab/deep")]
        assert paths("seed-42/vocab%2Fdeep") == paths("seed-42/vocab/deep") == [("file", "vocab/deep/b.txt")]
        expanded = client.get(f"{API}/tree/seed-42?expand=true").json()
        assert {entry["lastCommit"]["id"] for entry in expanded} == {commit_of(client)}
        for absent in ("additional_chat_templates", "voc", "config.json", "vocab/a.txt"):
            answer = client.get(f"{API}/tree/seed-42/{absent}?recursive=false&expand=false")
            assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")

    def test_paths_info(self, client: httpx.Client) -> None:
        url, asked = f"{API}/paths-info/seed-42", ["config.json", "vocab", "absent", "vocab/deep/b.txt", "config.json"]
        form = client.post(url, data={"paths": asked, "expand": "True"})
        assert [entry["path"] for entry in form.json()] == ["config.json", "vocab", "vocab/deep/b.txt"]
        assert [entry["type"] for entry in form.json()] == ["file", "directory", "file"]
        assert "lastCommit" in form.json()[0]
        assert client.post(url, json={"paths": asked, "expand": True}).json() == form.json()
        assert "lastCommit" not in client.post(url, json={"paths": asked}).json()[0]
        for wrong in ({}, {"paths": 1}, [], 1):
            assert client.post(url, json=wrong).status_code == 400
        assert client.post(url, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
        many = ["config.json"] * 2500
        assert len(client.post(url, data={"paths": many}).json()) == len(client.post(url, json={"paths": many}).json())
        for body in ({"data": {"paths": [*many, "a", "b"]}}, {"json": {"paths": [*many, "a"]}}):
            answer = client.post(url, **body)  # type: ignore[arg-type]
            assert answer.status_code == 400
            assert "at most 2500" in answer.json()["error"]

    def test_refs(self, client: httpx.Client) -> None:
        branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit_of(client, "main")}
        assert client.get(f"{API}/refs").json() == {
            "branches": [branch],
            "converts": [],
            "tags": [],
            "pullRequests": [],
        }

    def test_list(self, client: httpx.Client) -> None:
        def names(query: str) -> list[str]:
            return [found["id"] for found in client.get(f"/hf/api/models{query}").json()]

        assert {"me/tiny", "tiny"} <= set(names(""))
        assert names("?search=TIN&author=me") == ["me/tiny"]
        assert names("?search=tin&limit=1") == ["me/tiny"]
        assert names("?author=nobody") == []
        assert names("?author=me&limit=0") == []
        assert names("?author=me&filter=fanin&filter=safetensors&sort=likes&direction=-1&full=True") == names(
            "?author=me"
        )
        for query, words in {
            "sort=lastModified": "sort is one of downloads, likes, trendingScore",
            "filter=transformers": "filter is one of safetensors, fanin",
            "filter=fanin&filter=x": "filter 'x'",
            "pipeline_tag=text-generation": "pipeline_tag: not supported; author and search select models",
            "limit=many": "limit 'many': must be a number",
        }.items():
            answer = client.get(f"/hf/api/models?{query}")
            assert answer.status_code == 400
            assert words in answer.json()["error"]

    def test_commits(self, client: httpx.Client) -> None:
        (commit,) = client.get(f"{API}/commits/seed-42").json()
        put = datetime.fromisoformat(commit["date"])
        assert timedelta(0) <= datetime.now(UTC) - put < timedelta(hours=1)
        assert client.get(f"{API}/revision/seed-42").json()["lastModified"] == commit["date"]
        (entry, *_) = client.get(f"{API}/tree/seed-42?expand=true").json()
        assert entry["lastCommit"]["date"] == commit["date"]
        assert (commit["id"], commit["title"]) == (commit_of(client), "seed-42-f32-5gb")

    def test_access(self, client: httpx.Client) -> None:
        assert client.get(f"{API}/auth-check").json() == {}
        answer = client.get(f"{API}/auth-check/write")
        assert (answer.status_code, "upload a model with PUT" in answer.json()["error"]) == (403, True)
        for path in ("auth-check", "auth-check/write"):
            answer = client.get(f"/hf/api/models/me/absent/{path}")
            assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RepoNotFound")

    def test_other_kinds(self, client: httpx.Client) -> None:
        for kind in ("datasets", "spaces", "kernels"):
            assert client.get(f"/hf/api/{kind}").json() == []
        headers = {"Content-Type": archive.MEDIA_TYPE}
        answer = client.put("/v1/models/datasets/tiny", content=archive.pack({}), headers=headers)
        assert (answer.status_code, "The first of two is not api" in answer.json()["detail"]) == (422, True)

    def test_whoami(self, client: httpx.Client) -> None:
        assert client.get("/hf/api/whoami-v2").json()["name"] == "anonymous"


def test_a_long_path_is_read_in_steps_of_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a path's head is not found, or has an escaped slash, only the possible heads are looked up."""
    seen: list[int] = []

    def unquote(text: str) -> str:
        seen.append(len(text))
        return urllib.parse.unquote(text)

    monkeypatch.setattr(hub_requests, "unquote", unquote)
    for start in ("/hf/a/b/resolve%2Fx", "/hf/a/b/resolve/main/x", "/hf/a%2Fb/resolve/main/x"):
        for slashes in (1000, 2000):
            seen.clear()
            path = f"{start}{'/' * slashes}".encode()
            found = hub_requests.revision_and_path(path, "/hf/a/b/resolve")
            assert found in {("", ""), ("main", "x" + "/" * slashes)}
            assert sum(seen) < 100 + slashes + 10


def test_no_list_is_made_on_the_event_loop(hub: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model can have 100,000 tensors, a revision 2,000 files, and a list of paths a megabyte."""
    threads: dict[str, str] = {}

    def watch(module: Any, name: str) -> None:
        function = getattr(module, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            threads[name] = threading.current_thread().name
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, watched)

    for name in ("children", "entries", "info", "listed", "commits", "refs"):
        watch(hub_words, name)
    for name in ("paths_of_form", "paths_of_json"):
        watch(hub_api, name)
    watch(Snapshot, "described")
    client = hub.client
    for path in ("revision/seed-5?blobs=true", "tree/seed-5", "commits/seed-5", "refs"):
        assert client.get(f"{API}/{path}").status_code == 200
    assert client.get("/hf/api/models").status_code == 200
    for body in ({"json": {"paths": ["vocab"]}}, {"data": {"paths": ["vocab"]}}):
        assert len(client.post(f"{API}/paths-info/seed-5", **body).json()) == 1  # type: ignore[arg-type]
    assert len(threads) == 9
    assert {name.rpartition("_")[0] for name in threads.values()} == {"fanin-models"}


@pytest.mark.parametrize("paths", [None, "vocab", {"vocab": 1}, [1], ["vocab", None]])
def test_paths_that_are_no_list_of_texts_are_refused(hub: Running, paths: object) -> None:
    answer = hub.client.post(f"{API}/paths-info/seed-5", json={"paths": paths})
    assert (answer.status_code, answer.json()) == (400, {"error": "paths: must be a list of texts"})


def test_files_of_other_seeds_share_their_order(hub: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = {"shape": [256], "scheme": "normal", "std": 0.02}
    put(hub.client, "me/many", {"tensors": {f"{n}": tensor for n in range(60)}})
    encoded: list[Any] = []
    members = FileOrder.header_members
    monkeypatch.setattr(FileOrder, "header_members", lambda self: encoded.append(self) or members(self))
    trees = [hub.client.get(f"/hf/api/models/me/many/tree/seed-{n}-16kb").json() for n in (1, 2)]
    files = [entry for entry in trees[1] if entry["path"].endswith(".safetensors")]
    assert len(encoded) == len(files) == 4
    monkeypatch.undo()
    for entry in files:
        answer = hub.client.get(f"/hf/me/many/resolve/seed-2-16kb/{entry['path']}")
        content = answer.content
        assert (len(content), answer.headers["ETag"]) == (entry["size"], f'"{entry["oid"]}"')
        header = content[: 8 + int.from_bytes(content[:8], "little")]
        recipe = fanin.as_recipe(json.loads(header[8:])["__metadata__"]["fanin.recipe"])
        assert recipe.seed == 2
        assert header == fanin.FileLayout.of(recipe).header
    assert {entry["oid"] for entry in trees[0]}.isdisjoint(entry["oid"] for entry in files)


def test_a_tree_of_many_shards_is_described_once(hub: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = {"tensors": {f"{n}": {"shape": [256], "scheme": "ones"} for n in range(500)}}
    put(hub.client, "me/many", recipe)
    made: list[Any] = []
    encode = file_layout._encode
    monkeypatch.setattr(file_layout, "_encode", lambda recipe, *parts: made.append(recipe) or encode(recipe, *parts))
    tree = "/hf/api/models/me/many/tree/seed-3-1kb?recursive=true"
    first = hub.client.get(tree).json()
    assert len(made) == sum(entry["path"].endswith(".safetensors") for entry in first) == 500
    assert hub.client.get(tree).json() == first
    assert len(made) == 500
    monkeypatch.undo()
    for entry in [entry for entry in first if entry["path"].startswith("model-")][:3]:
        answer = hub.client.get(f"/hf/me/many/resolve/seed-3-1kb/{entry['path']}")
        assert (len(answer.content), answer.headers["ETag"]) == (entry["size"], f'"{entry["oid"]}"')


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("/hf/me/absent/resolve/main/config.json", "RepoNotFound"),
            ("/hf/datasets/me/tiny/resolve/main/config.json", "RepoNotFound"),
            ("/hf/datasets/tiny/resolve/main/config.json", "RepoNotFound"),
            ("/hf/spaces/me/tiny/raw/main/config.json", "RepoNotFound"),
            ("/hf/api/datasets/me/tiny", "RepoNotFound"),
            ("/hf/api/spaces/tiny/revision/main", "RepoNotFound"),
            ("/hf/a--b/resolve/main/config.json", "RepoNotFound"),
            ("/hf/api/models/me/absent", "RepoNotFound"),
            ("/hf/api/models/absent/revision/main", "RepoNotFound"),
            ("/hf/api/models/absent/tree/main", "RepoNotFound"),
            ("/hf/api/models/absent/refs", "RepoNotFound"),
            ("/hf/me/absent/resolve/" + "0" * 40 + "/config.json", "RepoNotFound"),
            ("/hf/me/tiny/resolve/" + "0" * 40 + "/config.json", "RevisionNotFound"),
            ("/hf/me/tiny/resolve/v1/config.json", "RevisionNotFound"),
            ("/hf/me/tiny/resolve/seed-x/config.json", "RevisionNotFound"),
            ("/hf/me/tiny/resolve/refs%2Fpr%2F1/config.json", "RevisionNotFound"),
            ("/hf/me/tiny/resolve/seed%3D42%2Cdtype%3Dbf16/config.json", "RevisionNotFound"),
            ("/hf/api/models/me/tiny/revision/refs%2Fpr%2F1", "RevisionNotFound"),
            ("/hf/api/models/me/tiny/tree/refs%2Fpr%2F1/vocab", "RevisionNotFound"),
            ("/hf/me/tiny/resolve/main/absent.json", "EntryNotFound"),
            ("/hf/me/tiny/resolve/main/vocab", "EntryNotFound"),
            ("/hf/me/tiny/resolve/main/", "EntryNotFound"),
            ("/hf/me/tiny/resolve/main/..%2Fconfig.json", "EntryNotFound"),
            ("/hf/me/tiny/resolve/main/%ff%00", "EntryNotFound"),
            ("/hf/api/agent-harnesses", None),
            ("/hf/api/telemetry/x", None),
            ("/hf/", None),
        ],
    )
    def test_not_found(self, hub: Running, path: str, code: str | None) -> None:
        for method in ("HEAD", "GET"):
            status, headers = raw(hub, path, method)
            assert status == 404, path
            assert headers.get("x-error-code") == code
            assert headers["x-error-message"]
            assert headers["content-type"] == "application/json"
            assert headers["cache-control"] == "no-store"
            assert ("x-repo-commit" in headers) == (code == "EntryNotFound")

    def test_words(self, client: httpx.Client) -> None:
        answer = client.get("/hf/me/tiny/resolve/seed-٣/config.json")
        assert answer.json() == {"error": answer.json()["error"]}
        assert "has no revision 'seed-\\u0663'" in answer.json()["error"]
        assert "seed-42-bf16-5gb" in answer.headers["X-Error-Message"]

    def test_a_range_past_the_end(self, client: httpx.Client, backend: CountingBackend) -> None:
        made, size = backend.generated, client.head(f"{RESOLVE}/{FILE}").headers["Content-Length"]
        answer = client.get(f"{RESOLVE}/{FILE}", headers={"Range": f"bytes={size}-"})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
        assert answer.json() == {"error": f"the file has {size} bytes"}
        assert backend.generated == made

    def test_other_methods(self, client: httpx.Client) -> None:
        for method in ("PUT", "POST", "DELETE"):
            answer = client.request(method, f"{RESOLVE}/{FILE}")
            assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
            assert "allows" in answer.json()["error"]

    def test_busy_is_429(self) -> None:
        with running(Settings(max_streams=1)) as server:
            put(server.client)
            with server.connection("/v1/weights?shape=100000000&scheme=normal&std=1") as other:
                assert other.recv(12) == b"HTTP/1.1 200"
                assert server.client.get(f"{RESOLVE}/config.json").status_code == 200
                answer = server.client.get(f"{RESOLVE}/{FILE}")
                assert (answer.status_code, answer.headers["X-Error-Message"]) == (429, answer.json()["error"])
                assert int(answer.headers["Retry-After"]) >= 1
                assert server.client.head(f"{RESOLVE}/{FILE}").status_code == 200

    def test_keys(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        reader, poor, writer = (
            keys.create(path, name, scopes)[0]
            for name, scopes in {
                "reader": (Right.MODELS_READ, Right.WEIGHTS_READ),
                "poor": (Right.MODELS_READ,),
                "writer": (Right.MODELS_WRITE,),
            }.items()
        )
        with running(Settings(access="keys", keys_file=path)) as server:
            put(server.client, Authorization=f"Bearer {writer}")

            def get(url: str, key: str) -> httpx.Response:
                return server.client.get(url, headers={"Authorization": f"Bearer {key}"} if key else {})

            answer = get(f"{RESOLVE}/{FILE}", reader)
            assert answer.status_code == 200
            commit = get(f"{API}/revision/seed-42", reader).json()["sha"]
            fixed = get(f"/hf/me/tiny/resolve/{commit}/{FILE}", reader)
            assert fixed.headers["Cache-Control"].startswith("private")
            assert get("/hf/api/whoami-v2", poor).json()["name"] == "poor"
            refused = get(f"{RESOLVE}/{FILE}", poor)
            assert refused.status_code == 403
            assert "this needs the scope weights:read" in refused.json()["error"]
            none, wrong = get(f"{RESOLVE}/{FILE}", ""), get(f"{RESOLVE}/{FILE}", reader[:-1] + "x")
            assert {none.status_code, wrong.status_code} == {401}
            # Clients distinguish an invalid token from a missing repository by these words.
            assert wrong.headers["X-Error-Message"] == "Invalid credentials in Authorization header"
            assert none.headers["X-Error-Message"] == none.json()["error"]
            assert "error" in wrong.json()

    def test_browsers(self) -> None:
        page = "https://app.example"
        with running(Settings(cors_origins=[page])) as server:
            put(server.client)
            answer = server.client.get(f"{RESOLVE}/config.json", headers={"Origin": page})
            exposed = {name.strip().lower() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
            needed = {"content-range", "etag", "x-repo-commit", "x-error-code", "x-error-message", "link"}
            assert needed <= exposed
            asked = {"Origin": page, "Access-Control-Request-Method": "GET"}
            asked["Access-Control-Request-Headers"] = "range, authorization"
            assert server.client.options(f"{RESOLVE}/{FILE}", headers=asked).status_code == 200


def test_a_version_that_makes_files_otherwise_shares_no_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client must not mistake the file of one version for that of another."""
    from fanin_service.models import content, snapshot

    seen: set[str] = set()
    for version in ("fanin.model/1", "fanin.model/2"):
        for module in (content, snapshot):
            monkeypatch.setattr(module, "FORMAT", version)
        with running() as server:
            put(server.client)
            head = server.client.head(f"{RESOLVE}/{FILE}")
            seen |= {head.headers["ETag"], head.headers["X-Repo-Commit"]}
    assert len(seen) == 4
