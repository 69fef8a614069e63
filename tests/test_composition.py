from __future__ import annotations

from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from regrun.config.composing import prepare_hydra, record_path
from regrun.config.hydra_settings import CONFIG_NAME, HYDRA_VERSION_BASE
from regrun.errors import UserError
from regrun.paths import conf_dir
from regrun.sweeps.composer import Composer

Loaded = tuple[ConfigLoader, DictConfig]


@pytest.fixture(scope="module")
def loaded() -> Iterator[Loaded]:
    prepare_hydra()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base=HYDRA_VERSION_BASE):
        sweep = compose(CONFIG_NAME, ["experiment=grokking"], return_hydra_config=True)
        yield GlobalHydra.instance().config_loader(), sweep


RUNS = [
    ["experiment=grokking", "seed=3"],
    ["experiment=grokking", "seed=4", "optimizer.lr=0.5", "optimizer.betas=[0.9,0.95]"],
    ["experiment=grokking", "optimizer=sgd", "optimizer.lr=0.5", "regularizer=[stablemax,weight_decay]"],
    ["experiment=grokking", "seed=5", "regularizer=label_smoothing", "regularizer.label_smoothing.share=0.3"],
    ["experiment=grokking", "scale=paper", "dataset.modulus=31", "+note=tried", "note=twice"],
    ["experiment=label_noise", "label_noise.rate=0.3", "trainer=ddp", "trainer.devices=2"],
    ["seed=1", "experiment=nde", "~report", "steps=12"],
]


@pytest.mark.parametrize("words", RUNS, ids=" ".join)
def test_it_composes_what_hydra_does(loaded: Loaded, words: list[str]) -> None:
    loader, sweep = loaded
    composer = Composer(loader, sweep)
    composer(["experiment=grokking", "seed=9", "optimizer.lr=7"])  # leaves no trace
    ours, hydras = composer(words), loader.load_sweep_config(sweep, words)
    assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(hydras)
    assert record_path(ours) == record_path(hydras)


def test_configs_that_differ_in_values_are_composed_once(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader, sweep = loaded
    composer = Composer(loader, sweep)
    composed = []
    compose_one = composer.loader.load_sweep_config
    monkeypatch.setattr(
        composer.loader,
        "load_sweep_config",
        lambda *given: composed.append(given[1]) or compose_one(*given),
    )
    for seed in range(5):
        for rate in (0.1, 0.2):
            assert composer([*RUNS[0], f"seed={seed}", f"optimizer.lr={rate}"]).seed == seed
    assert len(composed) == 1


def test_a_value_that_does_not_exist_is_named(loaded: Loaded) -> None:
    loader, sweep = loaded
    with pytest.raises(UserError, match=r"optimizer\.rate"):
        Composer(loader, sweep)(["experiment=grokking", "optimizer.rate=1"])
