from __future__ import annotations

import inspect

import pytest
import yaml

from regrun.config.catalogue import components, experiments, find, read_yaml
from regrun.config.composing import compose_config, plain_config
from regrun.config.explaining import dotted_keys
from regrun.config.whitelist import find_nodes, locate

PAPERS = [entry for entry in experiments() if entry.name != "custom"]
# What the runner gives, rather than the config.
GIVEN = {"self", "inputs", "classes", "parameters", "params", "steps", "closure", "seed"}
# Of torch's own classes, the parameters nobody here varies.
TORCHS = {
    "amsgrad",
    "foreach",
    "maximize",
    "capturable",
    "differentiable",
    "dampening",
    "decoupled_weight_decay",
}


@pytest.mark.parametrize("entry", components(), ids=lambda e: f"{e.group}-{e.name}")
def test_a_component_says_what_it_is_and_spells_out_its_parameters(entry: object) -> None:
    """A default that a later version changes must not change what an old config means."""
    assert entry.says  # type: ignore[attr-defined]
    config = yaml.safe_load(entry.text)  # type: ignore[attr-defined]
    for key, node in find_nodes(config):
        if "_target_" not in node:
            continue
        parts = {part.partition("@")[2] for part in node.get("defaults", ()) if "@" in part}
        parameters = {
            name
            for name, parameter in inspect.signature(locate(key, node["_target_"])).parameters.items()
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        }
        assert (
            parameters - GIVEN - TORCHS
            == {n for n in {*node, *parts} - {"defaults"} if not n.startswith("_")} - GIVEN
        )


@pytest.mark.parametrize("entry", PAPERS, ids=lambda e: e.name)
def test_an_experiment_says_what_it_reproduces(entry: object) -> None:
    config = plain_config(compose_config([f"experiment={entry.name}"]))  # type: ignore[attr-defined]
    assert config["paper"]["title"]
    assert config["claims"]
    assert config["seeds"] >= 3


def test_a_component_picked_anew_comes_with_its_own_defaults() -> None:
    """Not with what the experiment tuned for the component it replaces."""
    config = plain_config(
        compose_config(
            ["experiment=grokking", "optimizer=sgd", "optimizer.momentum=0.5", "dataset=sparse_parity"]
        )
    )
    assert config["optimizer"] == read_yaml(find("optimizer=sgd").file) | {"momentum": 0.5}
    assert config["dataset"] == read_yaml(find("sparse_parity").file)
    assert config["procedure"]["optimizer"] == config["optimizer"]
    assert config["model"]["hidden"] == [128, 128]  # the experiment's own choice keeps its tuning


def test_a_component_made_of_others_of_its_group_is_picked_anew_with_them() -> None:
    config = plain_config(
        compose_config(
            ["experiment=nde_latent", "procedure=hash_encoders/hash_codes", "procedure.clusters=3", "steps=7"]
        )
    )
    assert set(config["procedure"]) == {"_target_", "training", "neighbours", "clusters"}
    assert config["procedure"]["clusters"] == 3
    assert set(config["procedure"]["training"]) == set(read_yaml(find("procedure=supervised").file))
    assert config["procedure"]["training"]["steps"] == 7


def test_the_baseline_of_solver_times_is_without_regularizers_whatever_is_chosen() -> None:
    procedure = plain_config(compose_config(["experiment=nde", "regularizer=[steer,rnode]"]))["procedure"]
    assert set(procedure["training"]["regularizers"]) == {"steer", "rnode"}
    assert procedure["baseline"]["regularizers"] == {}
    same = set(procedure["training"]) - {"regularizers"}
    assert {k: procedure["training"][k] for k in same} == {k: procedure["baseline"][k] for k in same}


def test_dotted_keys_reach_every_leaf() -> None:
    assert list(dotted_keys({"a": {"b": 1}, "c": [1]})) == ["a", "a.b", "c"]
