"""The Helm chart: linted and rendered by Helm's own library, and each manifest held against Kubernetes' schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from fanin.artifact import Part
from fanin.cli.main import EXIT_CODES, parser_of
from fanin_service.settings import Settings
from tests.deploy import image

helm = pytest.importorskip("helm_python", reason="helm-python-sdk has no binary for this platform")

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "fanin"
KUBERNETES = ("1.30", "1.37")
"""The oldest that the chart takes, and the newest with schemas here."""
NAMESPACE = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "training"}}}
VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "open": {"access": {"mode": "open"}, "replicaCount": 1, "networkPolicy": {"from": [NAMESPACE]}},
    "jwt": {
        "access": {
            "mode": "keys+jwt",
            "jwt": {
                "issuer": "https://id.example.org",
                "audience": "fanin",
                "jwksUrl": "https://id.example.org/keys",
            },
        },
        "networkPolicy": {"egress": [{"ports": [{"port": 6379, "protocol": "TCP"}]}]},
    },
    "gpu": {
        "gpu": {"enabled": True, "count": 2, "runtimeClassName": "nvidia"},
        "nodeSelector": {"pool": "weights"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
    },
    "bucket": {"replicaCount": 3, "models": {"store": "s3://weights/fanin"}},
    "fixed": {"replicaCount": 3, "models": {"uploads": False}, "settings": {"models": "/etc/fanin/models"}},
    "everything": {
        "image": {"digest": f"sha256:{'0' * 64}"},
        "imagePullSecrets": [{"name": "registry"}],
        "ingress": {"enabled": True, "tlsSecretName": "fanin-tls"},
        "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 9},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "keySecret": {"name": "scrape"}},
        "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"a": "b"}},
        "models": {"store": "/srv/models", "existingClaim": "fanin-models", "storeBytes": "50GiB"},
        "settings": {"max_file_bytes": "1TiB", "workers": 2},
        "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
        "extraVolumes": [{"name": "store", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "store", "mountPath": "/var/lib/fanin"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "x"},
        "priorityClassName": "high",
        "podDisruptionBudget": {"maxUnavailable": "25%"},
        "serviceAccount": {"annotations": {"a": "b"}},
        "artifact": {
            "enabled": True,
            "recipe": {"configMap": "llama", "key": "llama.json"},
            "destination": "/srv/artifacts/llama",
            "format": "dcp",
            "parts": 100,
            "deadlineSeconds": 3600,
            "serviceAccountName": "writer",
            "extraEnv": [{"name": "AWS_REGION", "value": "eu-north-1"}],
            "extraVolumes": [{"name": "artifacts", "persistentVolumeClaim": {"claimName": "artifacts"}}],
            "extraVolumeMounts": [{"name": "artifacts", "mountPath": "/srv/artifacts"}],
            "nodeSelector": {"pool": "writers"},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
        },
    },
    "artifact": {"artifact": {"enabled": True, "recipe": {"configMap": "r"}, "destination": "s3://weights/llama"}},
}
CASES = [pytest.param(values, id=name) for name, values in VALUES.items()]


def render(values: dict[str, Any], name: str = "demo") -> list[dict[str, Any]]:
    """Every manifest."""
    with helm.Chart.load(CHART) as chart:
        rendered = chart.render(values, name=name, namespace="weights")
    documents = [yaml.safe_load_all(text) for path, text in rendered.items() if not path.endswith("NOTES.txt")]
    return [document for each in documents for document in each if document]


def one(kind: str, values: dict[str, Any], **label: str) -> dict[str, Any]:
    found = [
        manifest
        for manifest in render(values)
        if manifest["kind"] == kind and label.items() <= manifest["metadata"]["labels"].items()
    ]
    assert len(found) == 1
    return found[0]


def pod(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = one("Deployment", values)["spec"]["template"]["spec"]
    return found


def environment(values: dict[str, Any]) -> dict[str, str]:
    (container,) = pod(values)["containers"]
    names = [variable["name"] for variable in container["env"]]
    assert len(names) == len(set(names))
    return {variable["name"]: variable["value"] for variable in container["env"]}


@pytest.mark.parametrize("values", CASES)
def test_lint(values: dict[str, Any]) -> None:
    report = helm.chart.lint(CHART, values, strict=True)
    assert report["total_charts_linted"] == 1
    # Severity 1 recommends an icon.
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    assert report["errors"] == []


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("values", CASES)
def test_kubernetes_takes_every_manifest(values: dict[str, Any], version: str) -> None:
    manifests = render(values)
    assert len(manifests) >= 6
    for manifest in manifests:
        if manifest["kind"] == "ServiceMonitor":  # belongs to the Prometheus operator: Kubernetes has no schema for it
            (endpoint,) = manifest["spec"]["endpoints"]
            assert endpoint["port"] == "admin"
            assert endpoint["authorization"] == {"credentials": {"name": "scrape", "key": "key"}}
            continue
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_find_faults() -> None:
    manifest = one("Deployment", {})
    manifest["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, KUBERNETES[0], strict=True)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("replicaCount", 0),
        ("replicaCount", "two"),
        ("replicas", 2),
        ("image.repository", ""),
        ("image.digest", "sha256:abc"),
        ("image.pullPolicy", "Sometimes"),
        ("access.mode", "none"),
        ("access.mode", "jwt"),  # without an issuer
        ("access.keysSecret.name", "Not_A_Name"),
        ("access.jwt.jwksUrl", "http://id.example.org"),
        ("settings", {"keys_file": "/tmp/x"}),
        ("settings", {"MAX_TENSORS": 5}),
        ("settings", {"model_store": "/tmp/models"}),
        ("models.store", "gs://bucket"),
        ("models.store", "models"),
        ("models.storeBytes", "lots"),
        ("tmpSizeLimit", "lots"),
        ("settings", {"max_tensors": [5]}),
        ("shutdownSeconds", -1),
        ("extraEnv", [{"name": "FANIN_PORT", "value": "1"}]),
        ("gpu.count", 0),
        ("gpu.resourceName", "gpu"),
        ("resources.limits", {"memory": "lots"}),
        ("service.type", "Internal"),
        ("service.port", 70000),
        ("autoscaling.inFlightBytes", "many"),
        ("podDisruptionBudget.maxUnavailable", 0),
        ("serviceMonitor.interval", 15),
        ("networkPolicy.from", "everyone"),
        ("artifact.destination", "http://example.org/x"),
        ("artifact.format", "gguf"),
        ("artifact.shardSize", "large"),
        ("artifact.parts", 0),
    ],
)
def test_a_wrong_value_is_refused(path: str, wrong: Any) -> None:
    *parents, last = path.split(".")
    values: dict[str, Any] = {}
    at = values
    for name in parents:
        at = at.setdefault(name, {})
    at[last] = wrong
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema(values)
    assert helm.chart.lint(CHART, values)["errors"]


def test_fewer_at_most_than_at_least_is_refused() -> None:
    with pytest.raises(helm.HelmError, match=r"minReplicas is above"):
        render({"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 2}})


@pytest.mark.parametrize(
    "values",
    [
        {"replicaCount": 2},
        {"autoscaling": {"enabled": True}},
        {"replicaCount": 1, "autoscaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 2}},
        {"models": {"existingClaim": "models"}},
        {"models": {"existingClaim": "models", "store": "s3://weights"}},
    ],
)
def test_pods_with_different_models_are_refused(values: dict[str, Any]) -> None:
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
    with pytest.raises(helm.HelmError, match=r"models\.(store|existingClaim)"):
        render(values)


def test_pods_share_their_models() -> None:
    assert environment(VALUES["bucket"])["FANIN_MODEL_STORE"] == "s3://weights/fanin"
    (rule,) = one("NetworkPolicy", VALUES["bucket"])["spec"]["egress"]
    assert {"port": 443, "protocol": "TCP"} in rule["ports"]
    everything, spec = environment(VALUES["everything"]), pod(VALUES["everything"])
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "models")
    (mount,) = (mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "models")
    assert volume["persistentVolumeClaim"] == {"claimName": "fanin-models"}
    assert mount["mountPath"] == everything["FANIN_MODEL_STORE"] == "/srv/models"
    assert everything["FANIN_MODEL_STORE_BYTES"] == "50GiB"
    assert environment(VALUES["fixed"])["FANIN_MODEL_UPLOADS"] == "false"
    assert "FANIN_MODEL_STORE" not in environment({})


def test_large_numbers_are_written_out() -> None:
    found = environment({"settings": {"max_matrix_elements": 1 << 25, "client_bytes_per_day": 10**12, "workers": 2}})
    assert found["FANIN_MAX_MATRIX_ELEMENTS"] == "33554432"
    assert found["FANIN_CLIENT_BYTES_PER_DAY"] == "1000000000000"
    assert found["FANIN_WORKERS"] == "2"


@pytest.mark.parametrize("values", CASES)
def test_the_service_starts_with_the_settings_of_the_chart(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {name: value for name, value in environment(values).items() if name.startswith("FANIN_")}
    for name, value in ours.items():
        assert name.removeprefix("FANIN_").lower() in Settings.model_fields, name
        monkeypatch.setenv(name, value)
    assert Settings().host == "0.0.0.0"


@pytest.mark.parametrize("values", CASES)
def test_pods_are_confined(values: dict[str, Any]) -> None:
    user = str(image.final("cpu").value("USER")).split(":")[0]
    pods = [pod(values)]
    for manifest in render(values):
        if manifest["kind"] == "Pod":
            pods.append(manifest["spec"])
        elif manifest["kind"] == "Job":
            pods.append(manifest["spec"]["template"]["spec"])
    assert len(pods) == 2 + values.get("artifact", {}).get("enabled", False)
    for spec in pods:
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == int(user)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_parts_of_an_artifact_are_tried_again_one_by_one() -> None:
    job = one("Job", VALUES["everything"])["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 100, 8)
    assert (job["backoffLimitPerIndex"], job["podReplacementPolicy"]) == (4, "Failed")
    ignored, final = job["podFailurePolicy"]["rules"]
    assert ignored == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    # Errors of I/O or memory and an unreachable store may pass, and parts may be missing for a while. Others repeat.
    assert set(final["onExitCodes"]["values"]) == EXIT_CODES.keys() - {4, 6, 7, 11, 12}
    assert final["onExitCodes"]["containerName"] == job["template"]["spec"]["containers"][0]["name"]


def test_the_command_of_a_part_of_an_artifact() -> None:
    (container,) = one("Job", VALUES["everything"])["spec"]["template"]["spec"]["containers"]
    fanin, *words = container["command"]
    assert fanin == "fanin"
    options = parser_of(words).parse_args(words)
    assert Part.parse(options.part, {"JOB_COMPLETION_INDEX": "7"}) == Part(7, 100)
    assert options.finish
    assert {"name": "recipe", "mountPath": "/recipe", "readOnly": True} in container["volumeMounts"]
    assert "/recipe/llama.json" in words


def test_other_values_make_another_job_of_an_artifact() -> None:
    """Kubernetes refuses to change the pods of a Job."""
    names = {
        one("Job", {**VALUES["artifact"], "image": {"tag": tag}})["metadata"]["name"] for tag in ("", "2", "2", "3")
    }
    assert len(names) == 3


@pytest.mark.parametrize("missing", ["destination", "recipe"])
def test_an_artifact_needs_a_recipe_and_a_destination(missing: str) -> None:
    artifact = {name: value for name, value in VALUES["artifact"]["artifact"].items() if name != missing}
    with pytest.raises(helm.HelmError, match=r"artifact\.enabled needs"):
        render({"artifact": artifact})


def test_stopping_leaves_time_for_running_answers() -> None:
    values = {"shutdownSeconds": 100, "drainSeconds": 7}
    spec = pod(values)
    assert environment(values)["FANIN_DRAIN_SECONDS"] == "7"
    assert environment(values)["FANIN_SHUTDOWN_SECONDS"] == "100"
    assert spec["terminationGracePeriodSeconds"] > 107


def test_keys_come_from_a_secret() -> None:
    values = {"access": {"keysSecret": {"name": "ours", "key": "file.json"}}}
    spec = pod(values)
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "keys")
    assert volume["secret"]["secretName"] == "ours"
    (mount,) = (mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "keys")
    assert environment(values)["FANIN_KEYS_FILE"] == f"{mount['mountPath']}/file.json"
    assert "FANIN_KEYS_FILE" not in environment(VALUES["open"])


def test_gpus() -> None:
    spec = pod(VALUES["gpu"])
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true", "pool": "weights"}
    assert [toleration["key"] for toleration in spec["tolerations"]] == ["spot", "nvidia.com/gpu"]
    (container,) = spec["containers"]
    plain = pod({})["containers"][0]["resources"]["limits"]
    assert container["resources"]["limits"] == {**plain, "nvidia.com/gpu": 2}
    assert container["image"] == "fanin:0.1.0-cuda12"
    assert environment(VALUES["gpu"])["FANIN_BACKEND"] == "cuda"
    assert "gpu" not in str(pod({}))
    assert environment({"gpu": {"enabled": True}, "settings": {"backend": "native"}})["FANIN_BACKEND"] == "native"


def test_selectors_find_the_pods() -> None:
    labels = one("Deployment", {})["spec"]["template"]["metadata"]["labels"].items()
    everything = render(VALUES["everything"])
    for manifest in everything:
        spec = manifest.get("spec", {})
        selector = {
            "Service": lambda spec: spec["selector"],
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        }.get(manifest["kind"])
        if selector:
            assert selector(spec).items() <= labels
    (monitor,) = (manifest for manifest in everything if manifest["kind"] == "ServiceMonitor")
    services = [manifest for manifest in everything if manifest["kind"] == "Service"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    watched = [service for service in services if wanted <= service["metadata"]["labels"].items()]
    assert [service["spec"]["ports"][0]["name"] for service in watched] == ["admin"]


def test_autoscaling_decides_the_replicas() -> None:
    assert "replicas" not in one("Deployment", VALUES["everything"])["spec"]
    scaler = one("HorizontalPodAutoscaler", VALUES["everything"])["spec"]
    assert scaler["scaleTargetRef"]["name"] == one("Deployment", {})["metadata"]["name"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 9)
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == "fanin_in_flight_bytes"


def test_pods_open_no_connections() -> None:
    policy = one("NetworkPolicy", {})["spec"]
    assert (policy["policyTypes"], policy["egress"]) == (["Ingress", "Egress"], [])
    assert one("NetworkPolicy", VALUES["open"])["spec"]["ingress"][0]["from"] == [NAMESPACE]


def test_an_image_by_digest() -> None:
    assert pod(VALUES["everything"])["containers"][0]["image"] == f"fanin@sha256:{'0' * 64}"


@pytest.mark.parametrize("values", CASES)
def test_notes(values: dict[str, Any]) -> None:
    with helm.Chart.load(CHART) as chart:
        rendered = chart.render(values, name="demo", namespace="weights")
    assert "http://demo-fanin.weights:" in rendered["fanin/templates/NOTES.txt"]


def test_versions() -> None:
    version = image.stages()["runtime"].variables("ARG")["VERSION"]
    with helm.Chart.load(CHART) as chart:
        assert chart.metadata["appVersion"] == chart.metadata["version"] == version
