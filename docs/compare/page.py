"""Write docs/compare.md and its plots from the figures of a full `fanin compare`.

    fanin compare --output build/compare
    python docs/compare/page.py build/compare

With a folder, its figures.json is kept first.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import vl_convert

from fanin.compare import charts, report
from fanin.compare.figures import Figures
from fanin.compare.findings import findings
from fanin.compare.networks import NETWORKS
from fanin.tables import Table, piped

HERE = Path(__file__).parent
PAGE = HERE.parent / "compare.md"
KEPT = HERE / "figures.json"
HEAD = """\
# Which initializer, when?

Written by `python docs/compare/page.py` from [figures](compare/figures.json) of `fanin compare`.

    pip install '.[compare]'
    fanin compare --quick    # half a minute on two CPUs
    fanin compare            # seven minutes

Both write `figures.json` and `report.html` into `fanin-compare`. The report is one file that fetches nothing: network,
activation and depth are chosen in it, plots tell the figures of every point, and the schemes sort by any column.
`--networks`, `--activations`, `--depths`, `--schemes`, `--seeds`, `--epochs`, `--rates` and `--output` choose what is
compared. The initial weights are Fanin's own, so that everybody can make them again; [article.md](article.md) has the
formulas, and the mistakes in the usual texts.
"""


def page(figures: Figures) -> str:
    """All of the page."""
    chosen = f"--networks {','.join(figures.networks)} --activations {','.join(figures.activations)}"
    parts = [HEAD, f"{report.lead(figures)} (`fanin compare {chosen}`)", "", "## What was found", ""]
    for finding in findings(figures):
        claim = finding.claim if finding.holds else f"{finding.claim} (not borne out here)"
        parts += [f"- **{claim}** {finding.evidence}"]
    parts += ["", "## What to use", "", CHOICES, "", _table(report.choices(figures))]
    parts += ["## Plots", "", PLOTS.format(depth=figures.depths[-1], band=report.band(figures)), ""]
    for network in figures.networks:
        alt = f"Accuracy, variances and singular values of {network} networks, a line for each scheme"
        parts += [
            f"### {network}",
            "",
            f"{NETWORKS[network].capitalize()}.",
            "",
            f"![{alt}](compare/{network}.svg)",
            "",
        ]
    parts += ["## Accuracies", "", "Shares of the test images, medians over seeds.", ""]
    for table in report.accuracies(figures):
        parts += [f"### {table[0]}", "", _table(table)]
    parts += ["## How it was measured", ""]
    parts += [f"- **{term}**: {text}" for term, text in report.method(figures)]
    parts += ["", report.versions(figures)]
    return "\n".join(parts) + "\n"


CHOICES = "The schemes that end within one point of the best, the best first, and the share of test images recognized."
PLOTS = (
    "Networks of {depth} hidden layers. Lines are medians over seeds, bands have the middle {band} of them. A line "
    "ends where it leaves the scale; that of zeros is on none."
)


def plots(figures: Figures) -> dict[str, str]:
    """An SVG for each kind of network, at the greatest depth."""
    return {
        f"{network}.svg": vl_convert.vegalite_to_svg(
            charts.document(figures, network, figures.depths[-1]), vl_version=charts.VEGA_LITE
        )
        for network in figures.networks
    }


def _table(table: Table) -> str:
    return piped(table).partition("\n\n")[2]


def kept() -> Figures:
    """The figures in the repository."""
    return Figures(json.loads(KEPT.read_text("utf-8")))


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        shutil.copy(Path(folder) / "figures.json", KEPT)
    PAGE.write_text(page(kept()), "utf-8")
    for name, drawn in plots(kept()).items():
        (HERE / name).write_text(drawn, "utf-8")
