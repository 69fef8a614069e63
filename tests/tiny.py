"""A real experiment that takes seconds, with claims of every verdict."""

from __future__ import annotations

from pathlib import Path

EXPERIMENT = """\
defaults:
  - override /model: mlp
  - override /logger: csv

paper:
  title: A tiny paper
  arxiv: "0000.00000"
  says: Nothing <b>much</b>.

dataset:
  modulus: 7
model:
  hidden: [16, 16]
steps: 400
eval_every: 20
seeds: 3
checkpoint_seconds: 0

arms:
  plain: []
  decay: [regularizer=weight_decay]
  rate:
    values: [0.001, 0.0001]
    overrides: [regularizer=l1, "regularizer.l1.rate={}"]

claims:
  fits:
    says: It fits its training data.
    expect: last(train_accuracy[plain]) >= 0.5
    paper: {plain: 1.0, where: Fig. 1}
  impossible:
    says: It is more than perfect.
    expect: last(test_accuracy[plain]) - last(test_accuracy[decay]) > 2
  even:
    says: Both are the same.
    expect: last(test_loss[plain]) / last(test_loss[rate(0.001)]) >= 1
  bounded:
    says: Accuracies are accuracies.
    expect: all(0 <= max(test_accuracy[plain, decay, rate]) <= 1)
    deterministic: true

scales:
  smoke: []
"""


def write_tiny(folder: Path, **replacements: str) -> list[str]:
    """Write the experiment below a folder; returns the words that let regrun find it."""
    text = EXPERIMENT
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "conf" / "experiment").mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "experiment" / "tiny.yaml").write_text(text)
    return ["tiny", "--config-dir", "conf"]
