"""Probes in real runs: they change nothing, measure when they should, and refuse what they cannot measure."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.conftest import Result, only_record, records

from regrun.records.record import Record, Status

Command = Callable[..., Result]
GROUP = ("dataset=modular_arithmetic", "dataset.modulus=7", "model=mlp", "model.hidden=[8]", "logger=csv")
DIGITS = ("dataset=digits", "model=mlp", "model.hidden=[8]", "logger=csv", "batch_size=64")
EVERY_PROBE = (
    "hessian_spectrum,gauss_newton_spectrum,hessian_density,gradient_noise,neural_collapse,feature_spectrum,"
    "spectral_entropy,layer_information,activation_codes,feature_redundancy,tangent_kernel,input_jacobian,"
    "weight_geometry,block_gradients,relevant_inputs"
)
FEW = [
    f"probe.{name}.samples=20"
    for name in EVERY_PROBE.split(",")
    if name not in ("feature_spectrum", "weight_geometry", "relevant_inputs")
]


def curve(record: Path, metric: str) -> dict[int, float]:
    rows = csv.DictReader((record / "metrics.csv").open())
    return {int(row["step"]): float(row[metric]) for row in rows if row.get(metric)}


def test_probes_leave_training_as_it_is(regrun: Command, tmp_path: Path) -> None:
    """Bit for bit, with dropout and shuffling that draw random numbers."""
    words = (*DIGITS, "steps=12", "eval_every=4", "regularizer=feature_dropout")
    assert regrun(*words).code == 0
    assert regrun(*words, f"probe=[{EVERY_PROBE}]", *FEW).code == 0
    states = [torch.load(r / "checkpoint.ckpt", weights_only=True)["state_dict"] for r in records(tmp_path)]
    assert len(states) == 2
    weights = [{k: v for k, v in state.items() if k.startswith("model.")} for state in states]
    assert all(torch.equal(v, weights[1][k]) for k, v in weights[0].items())
    (probed,) = (r for r in records(tmp_path) if "probe" in r.parts[-2])
    metrics = Record(probed).result()["metrics"]
    assert {"sharpness", "nc1", "ntk_drift", "centroid_alignment", "relevant_weight"} <= set(metrics)
    assert all(v is not None for v in metrics.values())


def test_a_probe_measures_at_its_own_pace_and_at_the_end(regrun: Command, tmp_path: Path) -> None:
    words = (*GROUP, "steps=10", "eval_every=2", "probe=[fourier,tangent_kernel]")
    assert regrun(*words, "probe.tangent_kernel.every=3").code == 0
    record = only_record(tmp_path)
    assert list(curve(record, "median_ipr")) == [0, 2, 4, 6, 8, 10]
    assert list(curve(record, "ntk_drift")) == [0, 6, 10]


def test_what_a_probe_remembers_survives_an_interruption(
    start: Callable[..., subprocess.Popen[str]], regrun: Command, tmp_path: Path
) -> None:
    """A run that goes on from its checkpoint measures drift and change from the very beginning."""
    probes = ("probe=[tangent_kernel,weight_geometry]", "probe.tangent_kernel.every=1")
    words = (*GROUP, "steps=3000", "eval_every=50", "trainer.threads=1", *probes)
    assert regrun(*words, "outputs=whole").code == 0
    (whole,) = tmp_path.glob("whole/*/*/*/metrics.csv")
    process = start(*words, "checkpoint_seconds=0")
    try:
        for _ in range(600):
            found = list(tmp_path.glob("outputs/*/*/*/checkpoint.ckpt"))
            if found:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    finally:
        process.kill()
    record = only_record(tmp_path)
    assert Record(record).status is Status.INTERRUPTED
    assert regrun(*words, "checkpoint_seconds=0").code == 0
    assert record.joinpath("metrics.csv").read_text() == whole.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("probe=massive_activations",), "the model has no transformer blocks"),
        (("probe=attention_sinks",), "the model has no attention whose weights can be seen"),
        (("probe=input_jacobian",), "the inputs are symbols, with respect to which nothing has a derivative"),
        (("probe=relevant_inputs",), "no first layer on a vector of inputs"),
        (
            ("probe=neural_collapse", "model=gpt", "dataset=tinyshakespeare"),
            "the targets are no classes",
        ),
        (("probe=feature_redundancy", "model=gpt", "dataset=tinyshakespeare"), "no penultimate features"),
        (
            ("probe=tangent_kernel", "probe.tangent_kernel.memory_gb=1e-6"),
            "takes 0.1 GB, more than memory_gb=1e-06; take fewer samples, or sketch=4096",
        ),
        (
            ("probe=hessian_spectrum", "trainer.precision=bf16-true"),
            "this run's weights are bf16-true; set trainer.precision=bf16-mixed or 32-true",
        ),
        (("probe=fourier", "dataset=digits"), "the model reads no symbols"),
        (("probe=solver_cost",), "the model solves no differential equation"),
        (("probe=solver_profile",), "the model solves no differential equation"),
        (("probe=neural_collapse", "probe.neural_collapse.split=tset"), "did you mean 'test'"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_run(
    words: tuple[str, ...], message: str, regrun: Command, tmp_path: Path
) -> None:
    data = os.environ.get("REGRUN_DATA")
    if "dataset=tinyshakespeare" in words:
        if data is None:
            pytest.skip("REGRUN_DATA does not say where data files lie")
        base: tuple[str, ...] = ("logger=csv", f"data_dir={data}", "batch_size=8")
    elif "dataset=digits" in words:
        base = ("model=mlp", "logger=csv")
    else:
        base = GROUP
    result = regrun(*base, *words, "steps=2")
    assert result.code == 2
    assert message in result.err
    assert "probe_errors=skip leaves it out" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not records(tmp_path)


def test_the_run_goes_on_without_the_probe_if_that_is_wanted(regrun: Command, tmp_path: Path) -> None:
    probes = "probe=[massive_activations,fourier]"
    result = regrun(*GROUP, "steps=4", "eval_every=2", probes, "probe_errors=skip")
    assert result.code == 0
    assert "probe massive_activations left out: the model has no transformer blocks" in " ".join(
        result.out.replace("│", " ").split()
    )
    record = only_record(tmp_path)
    metrics = Record(record).result()["metrics"]
    assert "median_ipr" in metrics
    assert "top_ratio" not in metrics
    result = regrun(*GROUP, "steps=4", "probe_errors=ignore")
    assert result.code == 2
    assert "probe_errors: expected refuse | skip, got 'ignore'" in result.err


def test_a_lazy_network_keeps_its_kernel(regrun: Command, tmp_path: Path) -> None:
    """The larger alpha is, the less weights and kernel move while outputs move alike."""
    drift = {}
    for alpha, lr in ((0.5, 200.0), (8.0, 0.78125)):
        words = ("dataset=polynomial_regression", "dataset.dimension=5", "model=committee", "logger=csv")
        sizes = (f"model.alpha={alpha}", f"optimizer.lr={lr}", "model.hidden=50", f"outputs=alpha{alpha}")
        probes = ("probe=[tangent_kernel,weight_geometry]", "steps=100", "eval_every=50", "optimizer=sgd")
        assert regrun(*words, *probes, *sizes).code == 0
        (file,) = tmp_path.glob(f"alpha{alpha}/*/*/*/result.json")
        metrics = Record(file.parent).result()["metrics"]
        drift[alpha] = (metrics["ntk_drift"], metrics["weight_change"], metrics["train_loss"])
    assert drift[8.0][0] < drift[0.5][0] / 5
    assert drift[8.0][1] < drift[0.5][1] / 5
    assert all(math.isfinite(values[2]) for values in drift.values())
