"""Style of figures: sized for a paper, in colours readable on light and dark backgrounds."""

from __future__ import annotations

from typing import Any

from regrun.claims import Verdict

WIDTH = 6.75  # inches: two columns of a paper
INK = "#1b1b1f"  # replaced by the text colour on a page
PALETTE = ("#3b7dd8", "#e69f00", "#12a37f", "#d0609f", "#7b5fd0", "#d55e00", "#4db3e6", "#8a8a8a")
VERDICT_COLORS = {
    Verdict.REPRODUCED: "#12a37f",
    Verdict.NOT_REPRODUCED: "#d64545",
    Verdict.INCONCLUSIVE: "#d39a00",
    Verdict.NOT_RUN: "#8a8a8a",
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "regrun",
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), INK
    ),
}
