"""Named models that come with the service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fanin_service.app import create_app
from fanin_service.settings import Settings, SettingsError
from tests.support.models import FILES, RECIPE, put_model
from tests.support.servers import running


class TestShipped:
    def ship(self, directory: Path, name: str, **files: bytes) -> None:
        (directory / name).mkdir(parents=True)
        for file, text in {"recipe.json": json.dumps(RECIPE).encode(), **files}.items():
            (directory / name / file).write_bytes(text)

    def test_models_of_a_directory(self, tmp_path: Path) -> None:
        self.ship(tmp_path, "me/tiny", **{"config.json": FILES["config.json"]})
        self.ship(tmp_path, "gpt")
        with running(Settings(models=tmp_path)) as server:
            assert server.client.get("/v1/models").json() == {"models": ["gpt", "me/tiny"]}
            assert server.client.get("/v1/models/me/tiny").json()["files"] == ["config.json", "model.safetensors"]

    @pytest.mark.parametrize("model", ["tiny", "me/tiny"])
    def test_a_config_map_of_kubernetes_is_the_same_model_at_each_mount(self, tmp_path: Path, model: str) -> None:
        """Its files are links to a hidden directory, whose name has the time of the mount. Generated files are not
        read."""
        commits = set()
        for time in ("1", "2"):
            directory = tmp_path / time / model
            self.ship(tmp_path / time, f"{model}/..2026_11_30_{time}", **{"config.json": FILES["config.json"]})
            (directory / "..data").symlink_to(f"..2026_11_30_{time}")
            for name in ("recipe.json", "config.json"):
                (directory / name).symlink_to(f"..data/{name}")
            (directory / "model.safetensors").write_bytes(time.encode())
            with running(Settings(models=tmp_path / time)) as server:
                assert server.client.get("/v1/models").json() == {"models": [model]}
                described = server.client.get(f"/v1/models/{model}").json()
            assert described["files"] == ["config.json", "model.safetensors"]
            commits.add(described["commit"])
        assert len(commits) == 1

    def test_models_that_do_not_change(self, tmp_path: Path) -> None:
        (tmp_path / "me" / "tiny").mkdir(parents=True)
        (tmp_path / "me" / "tiny" / "recipe.json").write_text(json.dumps(RECIPE))
        with running(Settings(models=tmp_path, model_uploads=False)) as server:
            for answer in (put_model(server.client, "me/tiny", FILES), server.client.delete("/v1/models/me/tiny")):
                assert answer.status_code == 403
                assert answer.json()["type"] == "urn:fanin:problem:uploads-refused"
                assert "FANIN_MODEL_UPLOADS" in answer.json()["detail"]
            assert server.client.get("/v1/models").json() == {"models": ["me/tiny"]}
            assert server.client.get("/hf/me/tiny/resolve/main/model.safetensors").status_code == 307

    def test_what_cannot_be_shipped_stops_the_start(self, tmp_path: Path) -> None:
        def complaint() -> str:
            with pytest.raises(SettingsError) as caught:
                create_app(Settings(models=tmp_path))
            return str(caught.value)

        assert complaint() == f"FANIN_MODELS: {tmp_path} has no namespace/name/recipe.json"
        self.ship(tmp_path, "me/tiny")
        (tmp_path / "me" / "tiny" / "config.json").symlink_to("/etc/hostname")
        assert "me/tiny/config.json is a symbolic link out of the directory, to /etc/hostname" in complaint()
        (tmp_path / "me" / "tiny" / "config.json").unlink()
        (tmp_path / "me" / "tiny" / "a b").write_bytes(b"")
        assert "me/tiny: 'a b': a file's name has up to 200 letters" in complaint()
        (tmp_path / "me" / "tiny" / "a b").unlink()
        (tmp_path / "me" / "tiny" / "recipe.json").write_text("{}")
        assert "me/tiny: /tensors: this field is required" in complaint()
        (tmp_path / "me").rename(tmp_path / "a--b")
        assert "a--b/tiny: a model's name is" in complaint()
        (tmp_path / "a--b").rename(tmp_path / "me")
        (tmp_path / "me" / "tiny").rename(tmp_path / "me" / "main")
        assert "me/main: the second part of a new name must not be a revision" in complaint()
