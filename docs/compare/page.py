"""Write docs/compare.md and its plots from the figures of a full `fanin compare`.

    fanin compare --output build/compare
    python docs/compare/page.py build/compare

With a folder, the script first stores its figures.json.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from pathlib import Path

import vl_convert

from fanin_lab.compare import charts, report
from fanin_lab.compare.figures import Figures
from fanin_lab.compare.findings import findings
from fanin_lab.compare.networks import NETWORKS
from fanin_lab.tables import Table, piped

HERE = Path(__file__).parent
PAGE = HERE.parent / "compare.md"
KEPT = HERE / "figures.json"
HEAD = """\
# Which initializer, when?

This page compares initializers on small real networks, so that you can choose one. You can repeat the study, or run it
with other networks, activations, depths and schemes:

    pip install '.[compare]'
    fanin compare --quick    # half a minute on two CPUs
    fanin compare            # seven minutes

Both commands write `figures.json` and `report.html` into `fanin-compare`. The report is one file that needs no network
connection. In it you choose network, activation and depth, read the figures at every point of the plots, and sort the
schemes by any column. `--networks`, `--activations`, `--depths`, `--schemes`, `--seeds`, `--epochs` and `--rates`
select what is compared, and `--output` the folder.

Fanin generates the initial weights, so that everybody can generate them again. [article.md](article.md) has the
formulas, and the mistakes in the usual texts. `python docs/compare/page.py` writes this page from
[figures](compare/figures.json) of `fanin compare`.
"""


def page(figures: Figures) -> str:
    """Return the text of the page."""
    chosen = f"--networks {','.join(figures.networks)} --activations {','.join(figures.activations)}"
    parts = [HEAD, _wrapped(f"{report.lead(figures)} (`fanin compare {chosen}`)"), ""]
    parts += ["## What to use", "", CHOICES, "", _table(report.choices(figures))]
    parts += ["## Findings", "", FINDINGS, ""]
    for finding in findings(figures):
        claim = finding.claim if finding.holds else f"{finding.claim} (not confirmed here)"
        parts += [_wrapped(f"- **{claim}** {finding.evidence}", "  ")]
    parts += [""]
    parts += ["## Plots", "", _wrapped(PLOTS.format(depth=figures.depths[-1], band=report.band(figures))), ""]
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
    parts += ["## Accuracies", "", "Shares of the test images, as medians over seeds.", ""]
    for table in report.accuracies(figures):
        parts += [f"### {table[0]}", "", _table(table)]
    parts += ["## Method", ""]
    parts += [_wrapped(f"- **{term}**: {text}", "  ") for term, text in report.method(figures)]
    parts += ["", _wrapped(report.versions(figures))]
    return "\n".join(parts) + "\n"


FINDINGS = """\
Percentages are shares of test images that the trained network recognizes. For each depth, the schemes within 10 points
of the best come first, and then the others."""
CHOICES = """\
Each cell lists the schemes that end within one point of the best, the best first, and the share of test images that the
best one recognizes."""
PLOTS = """\
The networks have {depth} hidden layers. Lines are medians over seeds, and bands contain the middle {band} of the seeds.
A line ends where it leaves the scale. Zeros are off every scale."""


def plots(figures: Figures) -> dict[str, str]:
    """Return an SVG for each kind of network, at the greatest depth."""
    return {
        f"{network}.svg": vl_convert.vegalite_to_svg(
            charts.document(figures, network, figures.depths[-1]), vl_version=charts.VEGA_LITE
        )
        for network in figures.networks
    }


def _wrapped(text: str, indent: str = "") -> str:
    """Return the text in lines of at most 120 columns; all but the first begin with the indent."""
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _table(table: Table) -> str:
    return piped(table).partition("\n\n")[2]


def kept() -> Figures:
    """Return the figures in the repository."""
    return Figures(json.loads(KEPT.read_text("utf-8")))


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        shutil.copy(Path(folder) / "figures.json", KEPT)
    PAGE.write_text(page(kept()), "utf-8")
    for name, drawn in plots(kept()).items():
        (HERE / name).write_text(drawn, "utf-8")
