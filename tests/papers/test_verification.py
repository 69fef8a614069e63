"""Every experiment there is: it composes at its scales, and its smoke runs do what its entry says of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from conftest import CHECKOUT
from regrun.config.catalogue import experiments
from regrun.config.checking import has_scale
from regrun.config.placement import check_components
from regrun.config.run_values import SCALES
from regrun.config.whitelist import find_nodes, locate
from regrun.contracts.procedure import Procedure
from regrun.data.base import Dataset
from regrun.errors import UserError
from regrun.reproduction.experiment import Experiment, load_experiment
from regrun.reproduction.habits import X86, differences, smoke_figures
from regrun.reproduction.ledger import ledger_file, read_entry
from regrun.runs.building import construct
from regrun.runs.run import STOP

NAMES = sorted(entry.name for entry in experiments() if entry.name != "custom")
HAS_DATA = "REGRUN_DATA" in os.environ


@pytest.mark.parametrize("name", NAMES)
def test_a_paper_does_what_its_entry_says(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(STOP, "asked", False)
    small = load_experiment(name, "small", [], None)
    smoke, *larger = (load_experiment(name, scale, [], None) for scale in other_scales(small))
    for experiment in (small, smoke, *larger):
        check_arms(experiment)
    if not HAS_DATA and (file := next(files_of(smoke), None)):
        pytest.skip(f"REGRUN_DATA does not say where the real data lie: {file}")
    try:
        figures = smoke_figures(smoke)
    except UserError as error:
        if not HAS_DATA and "data_dir" in str(error):
            pytest.skip(f"REGRUN_DATA does not say where the real data lie: {error}")
        raise
    assert figures.keys() == smoke.arms.keys()
    assert all(figures.values())
    file = ledger_file(CHECKOUT / "outputs", name, "small")
    # What AVX2 and AVX512 do alike is kept, to four digits; how other processors add is not known.
    if file.exists() and platform.machine() in X86:
        habits = read_entry(file).habits
        assert habits is not None
        assert differences(habits.smoke, figures) == []


def check_arms(experiment: Experiment) -> None:
    """Every arm makes a procedure, and a run of its own."""
    identities = {}
    for arm, planned in experiment.planned.items():
        check_components(planned.config["procedure"], Procedure, "procedure")
        identities[arm] = planned.identity(0)
    assert identities.keys() == experiment.arms.keys()
    twins = {pair for pair in combinations(sorted(identities), 2) if len({identities[a] for a in pair}) == 1}
    # At the paper's scale the arm of full size is the arm itself.
    assert twins <= ({("perp_grad", "perp_grad_p113")} if experiment.scale == "paper" else set())


def other_scales(small: Experiment) -> list[str]:
    """The scales that an experiment has besides; the smallest first."""
    others = [scale for scale in SCALES if scale != "small"]
    return [scale for scale in others if has_scale(small.composed, small.name, scale)]


def files_of(experiment: Experiment) -> Iterator[Path]:
    """What the datasets of its arms read."""
    for planned in experiment.planned.values():
        for node in datasets_of(planned.config["procedure"]):
            yield from construct({"dataset": node}, Dataset)["dataset"].files(Path("data"))


def datasets_of(procedure: Any) -> Iterator[Mapping[str, Any]]:
    """The nodes of a config that make a dataset."""
    for key, node in find_nodes(procedure):
        made = locate(key, node["_target_"]) if "_target_" in node else None
        if isinstance(made, type) and issubclass(made, Dataset):
            yield node
