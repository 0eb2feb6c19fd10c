"""`fanin compare`: measurements agree with theory, and the report agrees with the measurements."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from signal import SIG_IGN, SIGINT, signal
from typing import IO, Any

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from threadpoolctl import threadpool_limits

from fanin.cli.main import main
from fanin_lab.compare import data, networks, page, report
from fanin_lab.compare.figures import Figures, accuracy
from fanin_lab.compare.findings import findings
from fanin_lab.compare.networks import ACTIVATIONS, NETWORKS, Network
from fanin_lab.compare.schemes import SCHEMES, SYMMETRIC
from fanin_lab.compare.signals import SAMPLES, Signals, jacobian, signals, spectra
from fanin_lab.compare.training import train

FIGURES = Path(__file__).parents[2] / "docs" / "compare" / "figures.json"
DIGITS = data.digits()


def weights(network: Network, scheme: str, *seeds: int) -> dict[str, networks.Array]:
    return network.weights(SCHEMES[scheme].tensor, seeds or (0,), np.float64)


def of(network: Network, scheme: str, *seeds: int) -> Signals:
    return signals(network, weights(network, scheme, *seeds), DIGITS.images[:SAMPLES], DIGITS.labels[:SAMPLES])


def factors(network: Network, scheme: str) -> tuple[float, float]:
    """By which the mean variance of a hundred networks changes a layer: of activations forward, of gradients back."""
    made = weights(network, scheme, *range(100))
    found = signals(network, made, DIGITS.images[:32], DIGITS.labels[:32])
    lines = np.log([found.activations.mean(axis=0), found.gradients.mean(axis=0)])
    forward, backward = (float(np.polyfit(range(network.depth), line, 1)[0]) for line in lines)
    return float(np.exp(forward)), float(np.exp(-backward))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the study."""
    with threadpool_limits(1):
        yield


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_he_keeps_the_variance_of_a_relu_network_and_glorot_halves_it(kind: str) -> None:
    """He et al. 2015, section 2.2."""
    network = Network(kind, "relu", 8)
    assert all(0.93 < factor < 1.07 for factor in factors(network, "he_normal"))
    assert all(0.46 < factor < 0.54 for factor in factors(network, "glorot_uniform"))


def test_glorot_keeps_the_variance_of_a_linear_network() -> None:
    """Glorot & Bengio 2010, section 4.2.1."""
    network = Network("dense", "linear", 8)
    assert all(0.95 < factor < 1.05 for factor in factors(network, "glorot_uniform"))


def test_batch_norm_makes_activations_level_and_gradients_grow() -> None:
    """Yang et al. 2019 (arXiv:1902.08129): by pi / (pi - 1) = 1.467 a layer for ReLU, at any scale of weights."""
    network = Network("batch_norm", "relu", 8)
    for scheme in ("large_normal", "glorot_uniform"):
        forward, backward = factors(network, scheme)
        assert 0.98 < forward < 1.02
        assert 1.35 < backward < 1.6


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_from_zeros_no_gradient_reaches_a_weight_but_the_last(kind: str) -> None:
    for activation, reached in ("relu", []), ("tanh", []), ("sigmoid", ["output"]):
        network = Network(kind, activation, 4)
        made = weights(network, "zeros")
        trace = network.forward(made, DIGITS.images[None, :50])
        gradient = networks.loss(trace[-1][0], DIGITS.labels[None, :50])[1]
        found = {}
        for _, _, of_parameters in network.backward(made, trace, gradient):
            found |= of_parameters
        assert [name for name, value in found.items() if name.endswith("weight") and value.any()] == [
            f"{name}.weight" for name in reached
        ]
        assert found["output.bias"].any()
        assert of(network, "zeros").silent == network.depth + 1 - len(reached)


@pytest.mark.parametrize("kind", NETWORKS)
def test_constants_leave_all_units_alike_and_random_weights_do_not(kind: str) -> None:
    network = Network(kind, "tanh", 2)
    for scheme, units in ("zeros", 1), ("constant", 1), ("glorot_uniform", network.units):
        curves = train(network, SCHEMES[scheme].tensor, [0, 1], 0.01, 2, DIGITS)
        assert (curves.units == units).all()


def test_an_orthogonal_linear_network_is_an_isometry() -> None:
    """Saxe et al. 2013; with Gaussian weights the spectrum widens with depth."""
    network = Network("dense", "linear", 20)

    def found(scheme: str) -> networks.Array:
        return spectra(network, weights(network, scheme, 3, 4), DIGITS.images)

    np.testing.assert_allclose(found("orthogonal"), 1, rtol=1e-4)
    np.testing.assert_allclose(found("orthogonal_relu"), 2**10, rtol=1e-4)
    assert found("lecun_normal")[:, 0].min() > 3
    assert found("lecun_normal")[:, -1].max() < 1e-3


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_gradients_are_those_of_finite_differences(kind: str, activation: str) -> None:
    network = Network(kind, activation, 2)
    made = weights(network, "glorot_uniform", 1, 2)
    images, labels = DIGITS.images[None, :6], DIGITS.labels[None, :6]

    def total(parameters: dict[str, networks.Array], seen: networks.Array) -> networks.Array:
        return networks.loss(network.forward(parameters, seen)[-1][0], labels)[0].sum(axis=1)

    trace = network.forward(made, images)
    found = {}
    for _, of_input, of_parameters in network.backward(made, trace, networks.loss(trace[-1][0], labels)[1]):
        found |= of_parameters
        last = of_input
    generator = np.random.default_rng(5)
    step = 1e-6
    for name, value in made.items():
        direction = generator.standard_normal(value.shape)
        ahead, behind = ({**made, name: value + sign * step * direction} for sign in (1, -1))
        numeric = (total(ahead, images) - total(behind, images)) / (2 * step)
        exact = (found[name] * direction).reshape(2, -1).sum(axis=1)
        np.testing.assert_allclose(exact, numeric, rtol=1e-5, atol=1e-7, err_msg=name)
    direction = generator.standard_normal(images.shape)
    numeric = (total(made, images + step * direction) - total(made, images - step * direction)) / (2 * step)
    np.testing.assert_allclose((last * direction).sum(axis=(1, 2)), numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_jacobian_is_that_of_finite_differences(kind: str) -> None:
    network = Network(kind, "tanh", 3)
    made = weights(network, "lecun_normal")
    images = DIGITS.images[:20]
    found = jacobian(network, made, images)
    direction, step = np.zeros_like(images), 1e-6
    direction[0] = np.random.default_rng(1).standard_normal(64)
    ahead, behind = (network.forward(made, (images + sign * step * direction)[None])[-2][0][0, 0] for sign in (1, -1))
    np.testing.assert_allclose(found @ direction[0], (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-7)


def test_a_convolution_is_scipys() -> None:
    layer = networks.Convolution("c", 2, 3)
    generator = np.random.default_rng(0)
    weight, x = generator.standard_normal((1, 3, 3, 2, 3)), generator.standard_normal((1, 1, 4, 4, 2))
    y, _ = layer.forward({"c.weight": weight, "c.bias": np.array([[1.0, 2.0, 3.0]])}, x.reshape(1, 1, -1))
    for out in range(3):
        expected = sum(correlate(x[0, 0, :, :, n], weight[0, :, :, n, out], mode="wrap") for n in range(2))
        np.testing.assert_allclose(y.reshape(4, 4, 3)[:, :, out], expected + out + 1)


def test_activations_are_torchs() -> None:
    functional = torch.nn.functional
    peers = {
        "linear": lambda x: x,
        "gelu": lambda x: functional.gelu(x, approximate="tanh"),
        **{name: getattr(torch, name) for name in ("sigmoid", "tanh", "relu")},
        "selu": functional.selu,
    }
    assert set(peers) == set(ACTIVATIONS)
    for name, peer in peers.items():
        x = torch.linspace(-6, 6, 121, dtype=torch.float64)[1::2].requires_grad_()
        y = peer(x)
        y.sum().backward()
        assert x.grad is not None
        values = x.detach().numpy()
        function, slope = ACTIVATIONS[name]
        np.testing.assert_allclose(function(values), y.detach().numpy(), atol=1e-14)
        np.testing.assert_allclose(slope(values, function(values)), x.grad.numpy(), atol=1e-14)


def test_batch_norm_with_the_statistics_of_another_pass() -> None:
    network = Network("batch_norm", "relu", 3)
    made = weights(network, "he_normal")
    trace = network.forward(made, DIGITS.images[None, :200])
    again = network.forward(made, DIGITS.images[None, :10], like=trace)
    np.testing.assert_allclose(again[-1][0], trace[-1][0][:, :10], rtol=1e-10)
    assert not np.allclose(network.forward(made, DIGITS.images[None, :10])[-1][0], again[-1][0])


def test_the_split() -> None:
    assert DIGITS.images.shape == (1437, 64)
    assert DIGITS.test_images.shape == (360, 64)
    assert DIGITS.images.mean() == pytest.approx(0, abs=1e-12)
    assert DIGITS.images.std() == pytest.approx(1)
    assert np.bincount(DIGITS.test_labels).min() > 25
    everything = np.concatenate([DIGITS.images, DIGITS.test_images])
    assert len(np.unique(everything, axis=0)) == len(everything)
    first, second = data.batches([1, 2], 2, 1437)
    assert (np.sort(first, axis=1) == np.arange(1437)).all()
    assert not (first[0] == first[1]).all()
    assert not (first == second).all()


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """The full study that docs/compare.md tells."""
    found: dict[str, Any] = json.loads(FIGURES.read_text("utf-8"))
    return found


def test_what_the_page_claims_holds(kept: dict[str, Any]) -> None:
    found = findings(Figures(kept))
    assert [finding.claim for finding in found if not finding.holds] == []
    assert len(found) == 9 + 11


def test_figures_that_say_otherwise_are_told_as_such(kept: dict[str, Any]) -> None:
    """He's and Glorot's figures change places."""
    swapped = {"he_normal": "glorot_uniform", "glorot_uniform": "he_normal"}
    cases = [{**case, "scheme": swapped.get(case["scheme"], case["scheme"])} for case in kept["cases"]]
    refuted = {finding.claim for finding in findings(Figures({**kept, "cases": cases})) if not finding.holds}
    assert "ReLU: He." in refuted


def test_networks_that_overflowed_have_no_units(kept: dict[str, Any]) -> None:
    cases = [{**case, "units": None if case["depth"] == 20 else case["units"]} for case in kept["cases"]]
    assert any(case["scheme"] in SYMMETRIC and case["units"] is None for case in cases)
    assert [finding.claim for finding in findings(Figures({**kept, "cases": cases})) if not finding.holds] == []


def test_any_part_of_a_study_can_be_told(kept: dict[str, Any]) -> None:
    parts = [
        (field, value)
        for field in ("network", "activation", "depth", "scheme")
        for value in {c[field] for c in kept["cases"]}
    ]
    assert len(parts) > len(SCHEMES)
    for field, value in parts:
        cases = [case for case in kept["cases"] if case[field] == value]
        schemes = {name: about for name, about in kept["schemes"].items() if any(c["scheme"] == name for c in cases)}
        assert report.text({**kept, "schemes": schemes, "cases": cases})


def chosen(kept: dict[str, Any], **fields: set[Any]) -> Figures:
    """The study as it would be with fewer networks, activations, depths and schemes."""
    cases = [case for case in kept["cases"] if all(case[name] in values for name, values in fields.items())]
    schemes = {name: about for name, about in kept["schemes"].items() if name in fields["scheme"]}
    return Figures({**kept, "schemes": schemes, "cases": cases})


def test_what_plots_show_is_told_for_any_choice(kept: dict[str, Any]) -> None:
    """For every setting whose schemes differ widely, the findings name the best and the worst with their accuracies."""
    random = Random(0)
    fields = {name: sorted({case[name] for case in kept["cases"]}) for name in ("network", "activation", "depth")}
    differences = 0
    for _ in range(200):
        picked = {name: set(random.sample(values, random.randint(1, 3))) for name, values in fields.items()}
        picked["scheme"] = set(random.sample(list(SCHEMES), random.randint(2, len(SCHEMES))))
        figures = chosen(kept, **picked)
        told = {finding.claim: finding.evidence for finding in findings(figures)}
        for setting in figures.settings:
            network, activation, depth = setting
            best, *_, worst = figures.of(setting)
            if accuracy(best) - accuracy(worst) < 0.1:
                continue
            differences += 1
            (evidence,) = (text for claim, text in told.items() if claim.startswith(f"{network}, {activation}: "))
            (sentence,) = re.findall(rf"With {depth} hidden layers: .*?%\)\.(?= |$)", evidence)
            for case in (best, worst):
                label = re.escape(figures.label(case["scheme"]))
                assert re.search(rf"{label} \({accuracy(case):.1%}\)", sentence), (setting, sentence)
    assert differences > 500


def test_one_activation_alone(kept: dict[str, Any]) -> None:
    picked = {"network": {"dense"}, "activation": {"gelu"}, "depth": {3, 10}, "scheme": {"he_normal", "glorot_uniform"}}
    first = findings(chosen(kept, **picked))[0]
    assert first.claim == "dense, gelu: He normal through 10 hidden layers."
    assert first.evidence == (
        "With 3 hidden layers: He normal (96.9%) and Glorot uniform (95.6%). "
        "With 10 hidden layers: He normal (94.7%), then Glorot uniform (44.7%)."
    )


TINY = ["--activations=relu", "--seeds=2", "--epochs=1", "--rates=0.01"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of a tiny study."""
    folder = tmp_path_factory.mktemp("compare") / "deep" / "er"
    assert main(["compare", *TINY, "--depths=2,4", f"--output={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "figures.json").read_text())
    return found


def test_every_case_is_there(folder: Path, document: dict[str, Any]) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["figures.json", "report.html"]
    cases = {(c["network"], c["activation"], c["depth"], c["scheme"]) for c in document["cases"]}
    assert len(document["cases"]) == len(cases) == 3 * 2 * len(SCHEMES)
    for case in document["cases"]:
        for name, length in (
            ("activations", case["depth"]),
            ("gradients", case["depth"]),
            ("singular", 17),
            ("accuracy", 2),
        ):
            for line in case[name].values():
                assert len(line) == length
            for low, middle, high in zip(*(case[name][key] for key in ("low", "median", "high"))):
                assert 0 <= low <= middle <= high


def test_figures_are_those_of_the_functions(document: dict[str, Any]) -> None:
    figures = Figures(document)
    case = figures.find(("conv", "relu", 4), "he_normal")
    assert case
    network = Network("conv", "relu", 4)
    both = np.sort(of(network, "he_normal", 0, 1).activations, axis=0)
    np.testing.assert_allclose([case["activations"]["low"], case["activations"]["high"]], both, rtol=1e-3)


def test_the_same_study_gives_the_same_files(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one CPU as on all; the second run is narrower, its cases are the first's."""
    command = [sys.executable, "-m", "fanin", "compare", *TINY, "--depths=4", "--schemes=he_normal,orthogonal"]
    subprocess.run([*command, "--output=again"], cwd=tmp_path, check=True, capture_output=True)
    again = json.loads((tmp_path / "again" / "figures.json").read_text())
    first = json.loads((folder / "figures.json").read_text())
    assert len(again["cases"]) == 6
    assert all(case in first["cases"] for case in again["cases"])


class Page(HTMLParser):
    """Checks that elements nest, and keeps what there is."""

    VOID = ("meta", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_the_page_is_whole_and_fetches_nothing(folder: Path, document: dict[str, Any]) -> None:
    text = (folder / "report.html").read_text("utf-8")
    assert text == page.html(document)
    found = Page(text)
    for _, attributes in found.found:
        assert not {"src", "href", "srcset", "data"} & set(attributes)
    assert "@import" not in text
    assert "url(" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert len(found.all("script")) == 2
    assert {option["value"] for option in found.all("option")} == {*NETWORKS, "relu", "2", "4"}
    assert len([row for row in found.all("tr") if "data-network" in row]) == len(document["cases"])
    assert {box["value"] for box in found.all("input")} == {scheme.label for scheme in SCHEMES.values()}
    specs = json.loads(re.findall(r"const specs = (.*);$", text, re.MULTILINE)[0].replace(r"<\/script", "</script"))
    rows = specs["accuracy"]["data"]["values"].splitlines()
    assert len(rows) == 1 + 2 * len(document["cases"])


def test_the_page_in_a_browser(folder: Path, tmp_path: Path) -> None:
    """Plots are drawn without a network; choosing, hiding and sorting do what they say, from the keyboard too."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("needs chromium")
    script = (Path(__file__).parents[1] / "support" / "browser.js").read_text("utf-8")
    text = (folder / "report.html").read_text("utf-8")
    (tmp_path / "page.html").write_text(f"{text}<script>{script}</script>", "utf-8")
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=60000", "--dump-dom"]
    done = subprocess.run([*command, (tmp_path / "page.html").as_uri()], check=True, capture_output=True, text=True)
    told = json.loads(html.unescape(re.findall("<title>(.*?)</title>", done.stdout)[0]))
    assert sorted(told["start"]["schemes"]) == sorted(scheme.label for scheme in SCHEMES.values())
    assert told["start"]["lines"][0] == len(SCHEMES)
    assert told["start"]["caption"] == "dense layers of 64 units, relu, 4 hidden layers"
    assert all("a line for each scheme" in label for label in told["labels"])
    assert set(told["start"]["schemes"]) - set(told["fewer"]["schemes"]) == {"zeros"}
    assert told["conv"]["caption"].startswith("convolutions")
    for place, column in enumerate(told["sorted"]):
        assert column["focused"]
        if place:
            down, up = ([float(value) for value in column[key] if value != ""] for key in ("once", "twice"))
            assert (down, up) == (sorted(down, reverse=True), sorted(up))
            assert column["sort"] == "ascending"
        else:
            assert column["once"] == column["twice"][::-1]


def test_the_text_has_the_accuracies(document: dict[str, Any]) -> None:
    text = report.text(document)
    figures = Figures(document)
    case = figures.find(("dense", "relu", 2), "orthogonal")
    assert case
    assert re.search(rf"^orthogonal +{accuracy(case):.1%} ", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--schemes=zeros,xavier", "--schemes: 'xavier' is not allowed; allowed: zeros, constant, "),
        ("--networks=rnn", "--networks: 'rnn' is not allowed; allowed: dense, conv, batch_norm"),
        ("--activations=", "--activations: '' is not allowed; allowed: linear, sigmoid"),
        ("--depths=3,1", "--depths: '1' is not allowed; allowed: integers from 2 to 100"),
        ("--depths=3,3", "--depths: 3 is given twice"),
        ("--depths=²", "--depths: '²' is not allowed"),
        ("--seeds=0", "--seeds: '0' is not allowed; allowed: integers from 1 to 1000"),
        ("--epochs=many", "--epochs: 'many' is not allowed"),
        ("--rates=0.1,nan", "--rates: 'nan' is not allowed; allowed: numbers above 0, up to 10"),
    ],
)
def test_wrong_options_are_named(option: str, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", option, f"--output={tmp_path / 'new'}"]) == 2
    assert error in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_is_told_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["compare", f"--output={tmp_path / 'file'}"]) == 4
    assert "file" in capsys.readouterr().err


@contextmanager
def comparing(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A study that has finished its first case, and its standard error."""
    command = [sys.executable, "-m", "fanin", "compare", "--output=out", *options]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, start_new_session=True) as running:
        assert running.stderr
        seen = b""
        while b"dense" not in seen:
            seen += (letter := running.stderr.read(1))
            assert letter, seen
        yield running, running.stderr


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    """The complete process group receives Ctrl-C, as from a terminal; before that, its workers alone do."""
    with comparing(tmp_path, "--depths=3", "--activations=tanh") as (running, stderr):
        for process in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split():
            os.kill(int(process), SIGINT)
        os.killpg(running.pid, SIGINT)
        rest = stderr.read()
    assert running.returncode == 130
    assert b"Traceback" not in rest
    assert rest.endswith(b"fanin: interrupted\n")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_study_started_to_ignore_interrupts_ignores_them(tmp_path: Path) -> None:
    """Every process of it: a worker that dies would end the study."""
    before = signal(SIGINT, SIG_IGN)
    try:
        with comparing(tmp_path, *TINY, "--depths=3,4", "--schemes=he_normal,zeros") as (running, stderr):
            os.killpg(running.pid, SIGINT)
            rest = stderr.read()
    finally:
        signal(SIGINT, before)
    assert running.returncode == 0, rest
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"figures.json", "report.html"}


def test_it_is_not_imported_with_the_library() -> None:
    code = "import sys, fanin.cli.main; print([name for name in sys.modules if name.startswith('fanin_lab')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
