"""Describe a study in sentences and tables, from its JSON document."""

from __future__ import annotations

from collections.abc import Sequence

from fanin_lab.compare.figures import LEARNT, Document, Figures, Setting, accuracy, listed
from fanin_lab.compare.findings import findings
from fanin_lab.compare.networks import NETWORKS
from fanin_lab.tables import Table, aligned


def text(document: Document) -> str:
    """Return the report for a terminal."""
    figures = Figures(document)
    lines = [lead(figures), ""]
    for finding in findings(figures):
        lines += [f"- {finding.claim}{'' if finding.holds else ' (not confirmed here)'}", f"  {finding.evidence}"]
    lines += ["", *(aligned(table) for table in accuracies(figures)), aligned(choices(figures))]
    return "\n".join(lines)


def lead(figures: Figures) -> str:
    """Describe what was compared."""
    settings = figures.document["settings"]
    return (
        f"{len(figures.schemes)} initializers, {len(figures.settings)} settings: {listed(figures.networks)} "
        f"networks with {listed(figures.activations)}, {listed(figures.depths)} hidden layers. Each initializer was "
        f"started from {settings['seeds']} seeds, measured before training, and trained to read handwritten digits."
    )


def choices(figures: Figures) -> Table:
    """Return a table of the best schemes of each setting."""
    rows: list[Sequence[str]] = []
    for network in figures.networks:
        for activation in figures.activations:
            cells = [_best(figures, (network, activation, depth)) for depth in figures.depths]
            rows.append([network, activation, *cells])
    return "Which to use", ["network", "activation", *(_deep(depth) for depth in figures.depths)], rows


def _best(figures: Figures, setting: Setting) -> str:
    cases = figures.as_good_as_the_best(setting)
    if accuracy(cases[0]) < LEARNT:
        return f"none learns ({accuracy(cases[0]):.1%})"
    return f"{', '.join(figures.label(case['scheme']) for case in cases)} ({accuracy(cases[0]):.1%})"


def accuracies(figures: Figures) -> list[Table]:
    """Return a table for each network and activation: every scheme at every depth."""
    tables: list[Table] = []
    for network in figures.networks:
        for activation in figures.activations:
            rows: list[Sequence[str]] = []
            for scheme in figures.schemes:
                cases = [figures.find((network, activation, depth), scheme) for depth in figures.depths]
                rows.append([figures.label(scheme), *(f"{accuracy(case):.1%}" if case else "" for case in cases)])
            head = ["test images recognized", *(_deep(depth) for depth in figures.depths)]
            tables.append((f"{network}, {activation}", head, rows))
    return tables


def _deep(depth: int) -> str:
    return f"{depth} hidden layers"


def band(figures: Figures) -> str:
    """Return the share of seeds inside the bands."""
    low, high = figures.document["settings"]["band"]
    return f"{high - low:.0%}"


def method(figures: Figures) -> list[tuple[str, str]]:
    """Return a description of the method."""
    settings = figures.document["settings"]
    kinds = " ".join(f"{name}: {NETWORKS[name]}." for name in figures.networks)
    rates = ", ".join(f"{rate:g}" for rate in settings["rates"])
    return [
        (
            "Data",
            "The UCI digits that scikit-learn ships: 1,797 images of 8 x 8 pixels, 1,437 to train on and 360 to test, "
            "scaled to mean 0 and variance 1.",
        ),
        (
            "Networks",
            f"{kinds} The output layer has 10 classes. All weights have one scheme, and biases are 0. Layers are as "
            "wide as the image has pixels, so that most of them have fan_in = fan_out, and LeCun's and Glorot's "
            "variances are equal. In such narrow layers, the median of a variance falls by some percent per layer even "
            "if its mean stays level.",
        ),
        (
            "Weights",
            "Fanin generates them. A recipe and a seed give the same bits on every machine, and the same order of "
            "images.",
        ),
        (
            "Signals",
            f"They are measured on {settings['samples']} training images, in float64, before training. Variances are "
            "over units and images. The Jacobian is that of the last hidden layer with respect to the pixels of one "
            "image.",
        ),
        (
            "Training",
            f"{settings['epochs']} epochs of stochastic gradient descent on cross-entropy, batches of "
            f"{settings['batch']}, momentum {settings['momentum']:g}, float32. Each scheme uses the learning rate from "
            f"{rates} that gives the smallest final training loss for {settings['trials']} of the seeds. So a scheme "
            "never loses because of a rate that suits another.",
        ),
        (
            "Reproducible",
            "The same versions on a processor of the same kind give the same figures, byte for byte, with any number "
            "of CPUs. Other processors sum matrix products in another order, and the last digits of training may "
            "differ.",
        ),
    ]


def versions(figures: Figures) -> str:
    """List the versions of the packages, and the machine."""
    document = figures.document
    named = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    return f"{named}; {document['machine']['architecture']}, {document['machine']['blas']}."
