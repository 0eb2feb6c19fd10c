"""The catalogue as models of the service: read-only, beside stored models."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import fanin
from fanin import models
from fanin_service.app import create_app
from fanin_service.models.catalogue import StoreWithCatalogue
from fanin_service.models.objects import DirectoryObjects
from fanin_service.settings import Settings, SettingsError
from tests.support.models import FILES, put_model
from tests.support.servers import Running, running

ARCHIVED = {**FILES, "recipe.json": b'{"shape": [3], "scheme": "zeros"}'}
NAMES = sorted(f"catalogue/{name}" for name in models.names())


EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> object:
    # The limits are for recipes of clients. The store has no room.
    settings = Settings(catalogue=True, max_tensors=10, max_file_bytes=1000, model_store_bytes=1)
    with running(settings) as server:
        yield server


def test_the_list(server: Running) -> None:
    document = server.client.get("/v1/catalogue").json()
    assert document["served"] is True
    assert [entry["name"] for entry in document["models"]] == models.names()
    assert document["models"][0]["parameters"] == 8_030_261_248
    assert server.client.get("/v1/models").json() == {"models": NAMES}
    found = server.client.get("/hf/api/models?author=catalogue&search=tiny-qwen3").json()
    assert [entry["id"] for entry in found] == ["catalogue/tiny-qwen3", "catalogue/tiny-qwen3-moe"]


def test_a_condition_on_a_date_is_ignored_where_none_is_known(server: Running) -> None:
    """The content may differ in another version of the service, at the same date."""
    path = "/s3/models/catalogue/tiny-qwen3/main/config.json"
    whole = server.client.get(path)
    assert whole.headers["Last-Modified"] == EPOCH
    found = server.client.get(path, headers={"If-Modified-Since": EPOCH})
    assert (found.status_code, found.content) == (200, whole.content)
    assert server.client.get(path, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304


def test_a_service_without_the_setting_lists_the_catalogue_alone() -> None:
    with running(Settings()) as server:
        assert server.client.get("/v1/catalogue").json()["served"] is False
        assert server.client.get("/v1/models").json() == {"models": []}
        assert server.client.get("/v1/models/catalogue/gpt2").status_code == 404


def test_every_model_is_described(server: Running) -> None:
    for name in models.names():
        model = models.get(name)
        described = server.client.get(f"/v1/models/catalogue/{name}").json()
        assert described["main"] == f"seed-0-{model.dtype.lower()}-5gb", name
        assert described["parameters"] >= model.parameters
        assert "config.json" in described["files"]


def test_a_file_is_the_one_that_the_library_generates(server: Running, tmp_path: Path) -> None:
    path = "/hf/catalogue/tiny-qwen3/resolve/seed-7/model.safetensors"
    got = server.client.get(path, follow_redirects=True).content
    fanin.save(models.get("tiny-qwen3").recipe(seed=7), tmp_path / "model.safetensors")
    assert got == (tmp_path / "model.safetensors").read_bytes()
    assert server.client.get("/s3/models/catalogue/tiny-qwen3/seed-7/model.safetensors").content == got
    config = server.client.get(path.replace("model.safetensors", "config.json"), follow_redirects=True).json()
    assert config == json.loads(models.get("tiny-qwen3").files()["config.json"])
    in_bf16 = server.client.get("/hf/catalogue/tiny-qwen3/resolve/seed-7-bf16/config.json", follow_redirects=True)
    assert in_bf16.json() == config | {"dtype": "bfloat16"}


def test_a_model_is_served_in_a_quantized_format(server: Running, tmp_path: Path) -> None:
    path = "/hf/catalogue/tiny-qwen3-fp8-block/resolve/seed-7"
    files = models.get("tiny-qwen3").files("fp8_block")
    config = server.client.get(f"{path}/config.json", follow_redirects=True).json()
    assert config == json.loads(files["config.json"])
    assert config["quantization_config"]["weight_block_size"] == [128, 128]
    fanin.save(fanin.as_recipe(files["recipe.json"].decode()).seeded(7), tmp_path / "model.safetensors")
    got = server.client.get(f"{path}/model.safetensors", follow_redirects=True).content
    assert got == (tmp_path / "model.safetensors").read_bytes()
    # No format quantizes weights of GPT-2 or ResNet, and diffusers loads none. The last two names have no format.
    for name in ("tiny-gpt2-int8", "tiny-resnet-fp8", "tiny-dit-fp8", "tiny-qwen3-int3", "tiny-qwen3-fp8_block"):
        assert server.client.get(f"/v1/models/catalogue/{name}").status_code == 404, name
    assert put_model(server.client, "catalogue/tiny-qwen3-fp8", ARCHIVED).status_code == 403


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tiny-gpt2-int8", "the format int8 does not apply to tiny-gpt2, which is catalogue/tiny-gpt2"),
        ("tiny-qwen3-int3", "did you mean catalogue/tiny-qwen3"),
        (
            "tiny-qwen3-fp8_block",
            "catalogue/NAME-FORMAT is a quantized model; FORMAT is one of",
        ),
        ("zzzz", "GET /v1/catalogue lists the names. catalogue/NAME-FORMAT"),
    ],
)
def test_an_unknown_name_of_the_catalogue_gets_no_advice_that_is_refused(
    server: Running, name: str, advice: str
) -> None:
    for path in (f"/v1/models/catalogue/{name}", f"/hf/api/models/catalogue/{name}"):
        text = server.client.get(path).text
        assert advice in text
        assert "PUT" not in text
    assert "PUT it to /v1/models/" in server.client.get("/v1/models/me/absent").text


@pytest.mark.parametrize("revision", ["main", "seed-7-bf16-7kb"])
def test_s3_lists_a_quantized_model_that_the_prefix_names(server: Running, revision: str) -> None:
    name = "catalogue/tiny-qwen3-fp8"
    files = [each["path"] for each in server.client.get(f"/hf/api/models/{name}/tree/{revision}").json()]
    assert len(files) > 1

    def listed(prefix: str, element: str) -> list[str]:
        text = server.client.get(f"/s3/models?list-type=2&prefix={prefix}&delimiter=/").text
        return re.findall(f"<{element}>([^<]*)</{element}>", text)[element == "Prefix" :]

    assert listed(f"{name}/{revision}/", "Key") == [f"{name}/{revision}/{file}" for file in files]
    assert listed(f"{name}/", "Prefix") == [f"{name}/main/"]
    assert listed(name, "Prefix") == [f"{name}/"]
    assert listed("catalogue/tiny-gpt2-fp8/main/", "Key") == []  # no format quantizes GPT-2
    assert f"{name}/" not in listed("catalogue/", "Prefix")


def test_a_name_that_no_format_quantizes_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    plain = models.CatalogueModel.files

    def files(model: models.CatalogueModel, format: str | None = None) -> dict[str, bytes]:
        tried.append(model.name)
        return plain(model, format)

    monkeypatch.setattr(models.CatalogueModel, "files", files)
    store = StoreWithCatalogue(DirectoryObjects(), 1 << 20)
    for _ in range(3):
        assert store.main("catalogue/tiny-gpt2-int8") is None
        assert store.main("catalogue/nothing") is None
    assert tried == ["tiny-gpt2"]


def test_groups_have_32_columns_if_weights_have_no_multiple_of_128() -> None:
    for name, size in (("tiny-qwen3", 32), ("qwen3-0.6b", 128)):
        config = json.loads(models.get(name).files("awq")["config.json"])
        assert config["quantization_config"]["group_size"] == size
    with pytest.raises(fanin.RecipeError, match="64 columns are not a multiple of 128"):
        models.get("tiny-qwen3").files("awq", group_size=128)


def test_counters_are_in_the_file_of_weights(server: Running) -> None:
    files = server.client.get("/hf/api/models/catalogue/tiny-resnet/tree/seed-3").json()
    assert [entry["path"] for entry in files] == ["config.json", "model.safetensors"]
    path = "/hf/catalogue/tiny-resnet/resolve/seed-3-bf16/model.safetensors"
    content = server.client.get(path, follow_redirects=True).content
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    counter = header["resnet.embedder.embedder.normalization.num_batches_tracked"]
    assert (counter["dtype"], counter["shape"]) == ("I64", [])


def test_a_commit_is_the_same_in_every_process(server: Running) -> None:
    commit = server.client.get("/v1/models/catalogue/tiny-gpt2").json()["commit"]
    with running(Settings(catalogue=True)) as other:
        # This server has read no content yet.
        answer = other.client.head(f"/hf/catalogue/tiny-gpt2/resolve/{commit}/model.safetensors")
        assert answer.status_code == 200
        assert other.client.get("/v1/models/catalogue/tiny-gpt2").json()["commit"] == commit
        unknown = ("1" if commit[0] == "0" else "0") + commit[1:]
        assert other.client.head(f"/hf/catalogue/tiny-gpt2/resolve/{unknown}/config.json").status_code == 404


def test_an_unknown_name_is_not_found(server: Running) -> None:
    for path in ("/v1/models/catalogue/nope", "/hf/api/models/catalogue/nope"):
        assert server.client.get(path).status_code == 404
    answer = server.client.get("/hf/catalogue/gpt2/resolve/seed-x/config.json")
    assert answer.headers["X-Error-Code"] == "RevisionNotFound"


def test_the_models_are_read_only(server: Running) -> None:
    answers = [put_model(server.client, name, ARCHIVED) for name in ("catalogue/gpt2", "catalogue/mine")]
    answers.append(server.client.delete("/v1/models/catalogue/gpt2"))
    for answer in answers:
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:fanin:problem:uploads-refused"
        assert "names that begin with catalogue/ belong to the catalogue" in answer.json()["detail"]
    assert server.client.get("/v1/models").json() == {"models": NAMES}


def test_other_models_are_stored_as_before(tmp_path: Path) -> None:
    with running(Settings(model_store=str(tmp_path))) as server:
        assert put_model(server.client, "catalogue/mine", ARCHIVED).status_code == 201
        assert put_model(server.client, "me/tiny", ARCHIVED).status_code == 201
    with running(Settings(model_store=str(tmp_path), catalogue=True)) as server:
        assert server.client.get("/v1/models").json() == {"models": sorted([*NAMES, "me/tiny"])}
        assert server.client.get("/v1/models/catalogue/mine").status_code == 404
        assert server.client.get("/v1/models/me/tiny").status_code == 200
        assert server.client.delete("/v1/models/me/tiny").status_code == 204


def test_shipped_models_cannot_have_names_of_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "catalogue" / "gpt2").mkdir(parents=True)
    (tmp_path / "catalogue" / "gpt2" / "recipe.json").write_bytes(ARCHIVED["recipe.json"])
    with pytest.raises(SettingsError, match="names that begin with catalogue/ belong to the catalogue"):
        create_app(Settings(models=tmp_path, catalogue=True))


def test_a_content_in_use_is_read_once() -> None:
    store = StoreWithCatalogue(DirectoryObjects(), 1 << 20)
    digest = store.main("catalogue/tiny-gpt2")
    assert digest is not None
    content = store.get("catalogue/tiny-gpt2", digest)
    assert content is not None
    assert store.main("catalogue/tiny-t5")
    assert store.get("catalogue/tiny-gpt2", digest) is content
    assert store.digest_of("catalogue/tiny-gpt2", content.key) == digest
    assert store.digest_of("catalogue/tiny-t5", content.key) is None
