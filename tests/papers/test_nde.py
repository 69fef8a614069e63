"""A reproduction whose arms share what they begin with."""

from __future__ import annotations

import json
import os
from pathlib import Path

from conftest import Command, needs_data


@needs_data
def test_a_baseline_that_all_arms_share_is_trained_once(regrun: Command, tmp_path: Path) -> None:
    """It is the training of the first arm, too; and of a solver's cost along time there is a figure."""
    words = ("--scale", "smoke", "--seeds", "1", "hydra/launcher=basic", "logger=csv")
    result = regrun("reproduce", "nde", *words, f"data_dir={os.environ['REGRUN_DATA']}")
    assert result.code == 0, (result.out, result.err)
    entry = json.loads((tmp_path / "outputs" / "nde" / "verdicts-smoke.json").read_text())
    assert {arm["seeds"] for arm in entry["arms"].values()} == {1}
    assert {claim["verdict"] for claim in entry["claims"]} == {"not run"}
    assert len(list(tmp_path.glob("outputs/stages/*/result.json"))) == len(entry["arms"])
    assert (tmp_path / "outputs" / "nde" / "figures-smoke" / "profiles.png").exists()
