"""Everything of the catalogue at the ends of its parameters and inputs: finite, or an error that says why.

What is gone over is found by itself: every loss, probability map, regularizer, attention and measure of the
packages, with each parameter at its ends, and every config of a regularizer or an attention. A new one is
included, or a test says what it needs.
"""

from __future__ import annotations

import inspect
import math
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from importlib import import_module
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

import regrun.losses
import regrun.measures
import regrun.models
import regrun.probability_maps
import regrun.regularizers
from regrun.contracts.output import Output, as_output
from regrun.data import Batch, Features, Images, Samples, Splits
from regrun.data.criteria import Classification
from regrun.losses import BayesianRanking, ClassificationLoss, PairwiseSoftmax, SoftmaxCrossEntropy, ZLoss
from regrun.measures import (
    calibration,
    codes,
    collapse,
    fourier,
    information,
    interaction_basis,
    jacobian,
    kernel,
    landscape,
    mixture,
    outliers,
    redundancy,
    share,
    slope,
    spectrum,
)
from regrun.models import MLP, NeuralODE
from regrun.models.attention import Attention
from regrun.paths import conf_dir
from regrun.probability_maps import ProbabilityMap, Softmax, SparseSoftmax, gumbel_softmax
from regrun.regularizers import Regularizer, Step
from regrun.regularizers.base import overrides
from regrun.solvers import ODESolver

N, CLASSES = 6, 5
FORMATS = [torch.float32, torch.bfloat16, torch.float64]
FLOATS = (0.0, 1e-8, 0.5, 1 - 1e-6, 1.0, 1e4, -1.0, math.nan, math.inf)
INTEGERS = (0, 1, 2, 30, -1)
Make = Callable[[], Any]


# ------------------------------------------------------------------ what there is, and its ends


def classes_of(package: types.ModuleType, kind: type) -> list[type]:
    """Every class of a kind that a package's modules define, but for abstract ones."""
    found = []
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        for name, value in vars(import_module(module.name)).items():
            own = isinstance(value, type) and value.__module__ == module.name and not name.startswith("_")
            if own and issubclass(value, kind) and not is_abstract(value):
                found.append(value)
    return found


def is_abstract(cls: type) -> bool:
    parts = [getattr(cls, name) for name in dir(cls)]
    return cls in (Regularizer, ProbabilityMap) or any(
        getattr(part, "__isabstractmethod__", False) for part in parts
    )


def functions_of(package: types.ModuleType) -> dict[str, Callable[..., Any]]:
    """Every function and dataclass that a package's modules define, by module and name."""
    found = {}
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        for name, value in vars(import_module(module.name)).items():
            if getattr(value, "__module__", None) == module.name and not name.startswith("_"):
                found[f"{module.name.split('.')[-1]}.{name}"] = value
    return found


@contextmanager
def said_in_one_line() -> Iterator[None]:
    """A ``ValueError`` is an answer, if it is words on one line."""
    said = None
    try:
        yield
    except ValueError as error:
        said = str(error)
    if said is not None:
        assert len(said.split()) > 3, said
        assert "\n" not in said, said


def ends(cls: type) -> list[Any]:
    """How to make instances: by default, and with each parameter at its ends, as far as these are allowed."""
    hints = typing.get_type_hints(cls.__init__)
    parameters = [p for p in inspect.signature(cls).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    needed = {
        p.name: next(iter(values_of(cls, p.name, hints[p.name]))) for p in parameters if p.default is p.empty
    }
    found: list[Any] = [pytest.param(lambda: cls(**needed), id=cls.__name__)]
    for parameter in parameters:
        for value in values_of(cls, parameter.name, hints[parameter.name]):
            arguments = {**needed, parameter.name: value}
            with said_in_one_line():
                cls(**arguments)
                say = f"{cls.__name__}-{parameter.name}={value}"
                found.append(pytest.param(lambda arguments=arguments: cls(**arguments), id=say))
    return found


def values_of(cls: type, name: str, hint: Any) -> list[Any]:
    """The ends of a parameter: numbers, names that the class knows, or parts of the catalogue."""
    kinds = typing.get_args(hint) or (hint,)
    values: list[Any] = [None] if type(None) in kinds else []
    if bool in kinds:
        values += [False, True]
    elif float in kinds:
        values += FLOATS
    elif int in kinds:
        values += INTEGERS
    elif str in kinds:
        values += names_of(cls, name)
    elif any(isinstance(kind, type) and issubclass(kind, ProbabilityMap) for kind in kinds):
        maps = [make() for make in made(MAPS) if type(make()) is not gumbel_softmax.GumbelSoftmax]
        values += [own for own in maps if cls is not regrun.losses.CrossEntropy or own.positive]
    elif any(isinstance(kind, type) and issubclass(kind, ClassificationLoss) for kind in kinds):
        values.append(ZLoss())
    assert values, f"say in tests/test_extremes.py at which ends {cls.__name__}'s {name}: {hint} is"
    return values


def names_of(cls: type, name: str) -> list[str]:
    """What a parameter can be called, as the error of a wrong name says."""
    with pytest.raises(ValueError, match=r"must be one of .*, got '\?'") as error:
        cls(**{name: "?"})
    return str(error.value).split("must be one of ")[1].split(", got")[0].split(", ")


def made(params: list[Any]) -> list[Make]:
    return [param.values[0] for param in params]


def configured(group: str) -> list[Any]:
    """What the configs of a group make; those of a regularizer may be losses."""
    found = []
    for file in sorted((conf_dir() / group).glob("*.yaml")):
        config = {"steps": 100, "part": yaml.safe_load(file.read_text()) or {}}
        part = OmegaConf.create(config).part
        if "_target_" not in part:  # keyed by its name
            part = next(iter(part.values())) if part else None
        if part is not None:
            found.append(pytest.param(lambda part=part: instantiate(part), id=f"{group}={file.stem}"))
    return found


MAPS = [end for cls in classes_of(regrun.probability_maps, ProbabilityMap) for end in ends(cls)]
LOSSES = [end for cls in classes_of(regrun.losses, ClassificationLoss) for end in ends(cls)]
REGULARIZERS = [end for cls in classes_of(regrun.regularizers, Regularizer) for end in ends(cls)]
ATTENTIONS = [end for cls in classes_of(regrun.models, Attention) for end in ends(cls)]
CHOSEN = configured("regularizer")


def test_every_config_is_of_something_that_is_gone_over() -> None:
    known = {type(make()) for make in made(LOSSES + REGULARIZERS)}
    assert {type(make()) for make in made(CHOSEN)} <= known
    known = {type(make()) for make in made(ATTENTIONS)}
    assert {type(make()()) for make in made(configured("attention"))} <= known
    pairwise = set(classes_of(regrun.losses, object)) - {type(make()) for make in made(LOSSES)}
    assert pairwise - {ClassificationLoss} == {PairwiseSoftmax, BayesianRanking}, "say how to run the others"


def test_of_every_kind_something_is_answered() -> None:
    """An error would do for what follows."""
    z, q = drawn(N, CLASSES), drawn(2, 4, 3)
    for ends_of, run in (
        (MAPS, lambda part: part(z)),
        (LOSSES, lambda part: part(z, torch.arange(N) % CLASSES)),
        (ATTENTIONS, lambda part: part.mix(q, q, q, False)),
    ):
        answered = set()
        for part in (make() for make in made(ends_of)):
            with said_in_one_line():
                run(part)
                answered.add(type(part))
        assert answered == {type(make()) for make in made(ends_of)}


# ----------------------------------------------------------------------------- inputs


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def extremes(*shape: int) -> dict[str, Tensor]:
    """Numbers of a shape, in float64."""
    return {
        "ordinary": drawn(*shape),
        "large": 1e4 * drawn(*shape).sign(),
        "equal": torch.full(shape, 0.1, dtype=torch.float64),
        "zero": torch.zeros(shape, dtype=torch.float64),
        "negative": torch.full(shape, -1e4, dtype=torch.float64),
        "tiny": 1e-30 * drawn(*shape),
    }


def check(where: str, *tensors: Tensor | None) -> None:
    for tensor in tensors:
        assert tensor is not None, where
        assert tensor.isfinite().all(), f"{where}: {tensor}"


def same_value(found: Tensor, exact: Tensor, numbers: Tensor) -> None:
    """What is found in a format is what float64 finds of the same numbers, but for rounding."""
    digits = 20 * torch.finfo(found.dtype if found.dtype == torch.float16 else numbers.dtype).eps
    scale = float(numbers.detach().double().abs().max().clamp_min(1))
    torch.testing.assert_close(found.double(), exact.double(), rtol=digits, atol=digits * scale)


# ----------------------------------------------------------------------------- losses


def targets(classes: int, dtype: torch.dtype) -> list[Tensor]:
    y = torch.arange(N) % classes
    return [y, 0.9 * F.one_hot(y, classes).to(dtype) + 0.1 / classes]


@pytest.mark.parametrize("make", LOSSES)
def test_losses_and_their_gradients_are_finite(make: Make) -> None:
    loss = make()
    for classes in (CLASSES, 1):
        for name, numbers in list(extremes(N, classes).items())[: 6 if classes > 1 else 2]:
            for dtype in FORMATS:
                for y in targets(classes, dtype):
                    z = numbers.to(dtype).requires_grad_()
                    with said_in_one_line():
                        values = loss(z, y)
                        assert (
                            dtype != torch.float64
                            or values.dtype == dtype
                            or isinstance(loss, SoftmaxCrossEntropy)
                        )
                        values.sum().backward()
                        check(f"{name} {dtype} {y[0]}", values, z.grad)
                        if getattr(loss, "eps", 1) or name in (
                            "ordinary",
                            "large",
                        ):  # else rounding is standardized
                            same_value(values, loss(z.detach().double(), y), z)


@pytest.mark.parametrize("make", ends(PairwiseSoftmax) + ends(BayesianRanking))
def test_pairwise_losses_and_their_gradients_are_finite(make: Make) -> None:
    for name, numbers in extremes(N, CLASSES).items():
        for dtype in FORMATS:
            z = numbers.to(dtype).requires_grad_()
            value = make()(z[:, 0], z[:, 1:])
            assert value.dtype == dtype
            value.backward()
            check(f"{name} {dtype}", value, z.grad)


# ------------------------------------------------------------------- probability maps

close = partial(torch.testing.assert_close, rtol=0.03, atol=0.01)  # bfloat16 has two digits
ROWS = torch.tensor([[True, True, True, True], [True, False, True, True], [False, False, True, False]])


@pytest.fixture
def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gumbel_softmax, "gumbel_noise", torch.zeros_like)


@pytest.mark.usefixtures("without_noise")
@pytest.mark.parametrize("log", [False, True], ids=["weights", "log"])
@pytest.mark.parametrize("make", MAPS)
def test_maps_do_as_if_masked_scores_were_not_there(
    make: Make, log: bool, request: pytest.FixtureRequest
) -> None:
    to_weights: ProbabilityMap = make()
    function = to_weights.log if log else to_weights
    upstream = drawn(5, 4, seed=1)
    whole = "=" not in request.node.name
    for name, numbers in list(extremes(5, 4).items())[: 6 if whole else 3]:
        for dtype in FORMATS if whole else FORMATS[:2]:
            z = numbers.to(dtype)
            there = torch.cat([ROWS, torch.zeros(1, 4, dtype=torch.bool), ROWS[:1]])
            masked = z.masked_fill(~there, -torch.inf).requires_grad_()
            with said_in_one_line():
                found = function(masked)
                assert found.dtype == dtype
                found.backward(upstream.to(dtype))
                assert masked.grad is not None
                check(f"{name} {dtype}", masked.grad, found[there & ((to_weights(masked) > 0) | (not log))])
                assert (found[~there] == (-torch.inf if log else 0)).all()
                assert (masked.grad[~there] == 0).all()
                if dtype == torch.bfloat16:
                    assert torch.equal(found, function(masked.float()).to(dtype))
                if isinstance(to_weights, SparseSoftmax) and name != "ordinary":
                    continue  # which of equal scores are among the largest is nobody's business
                close(function(masked.mT, 0), found.mT)
                for k in range(3):  # as if there were fewer scores
                    few = z[k, there[k]].clone().requires_grad_()
                    alone = function(few)
                    alone.backward(upstream[k, there[k]].to(dtype))
                    close(found[k, there[k]], alone)
                    close(masked.grad[k, there[k]], few.grad)
                if not log and to_weights.sums_to_one:
                    total = torch.tensor([1, 1, 1, 0, 1], dtype=dtype)
                    torch.testing.assert_close(found.sum(1), total, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("make", MAPS)
def test_maps_do_not_hide_what_is_not_a_number(make: Make) -> None:
    z = drawn(2, 12).requires_grad_()
    broken = z.detach().clone()
    broken[0, 3] = math.nan
    for function in (make(), make().log):
        with said_in_one_line():
            assert function(broken).isnan().any(1).tolist() == [True, False]


@pytest.mark.parametrize("make", LOSSES)
def test_losses_do_not_hide_what_is_not_a_number(make: Make) -> None:
    z = drawn(N, CLASSES)
    z[0, 3] = math.nan
    for y in targets(CLASSES, z.dtype):
        with said_in_one_line():
            assert make()(z, y).isnan().tolist() == [True] + [False] * (N - 1)


# ------------------------------------------------------------------------ regularizers

IMAGES = Images((1, 2, 2), (0.5,), (0.2,))


class Latent(MLP):
    """A model that has a latent distribution, too."""

    def forward(self, x: Tensor) -> Output:
        output = super().forward(x)
        assert output.features is not None
        return output._replace(aux={"kl": output.features.square().sum(1)})


@dataclass
class Task:
    """What regularizers know of a task."""

    model: nn.Module
    inputs: Images | Features
    classes: int
    splits: Splits
    criterion: Classification = Classification()  # noqa: RUF009
    train_samples: int = N

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4)

    @property
    def probability_map(self) -> ProbabilityMap:
        return Softmax()

    def splits_on_device(self) -> Splits:
        return self.splits


def task_of(kind: type[nn.Module], x: Tensor, classes: int, weights: str) -> Task:
    """A small task with weights as they are drawn, all 0 or all the same, in the format of the inputs."""
    torch.manual_seed(0)
    inputs = Features((4,)) if kind is NeuralODE else IMAGES
    more = {"solver": ODESolver(rtol=0.1, atol=0.1)} if kind is NeuralODE else {"bias": False}
    model = kind(inputs, classes, hidden=(3,), **more).to(x.dtype)
    with torch.no_grad():
        for weight in model.parameters():
            if weights != "drawn":
                weight.fill_({"zero": 0.0, "equal": 0.1}[weights])
    y = torch.arange(N) % classes
    samples = Samples(x, y, y)
    return Task(model, inputs, classes, Splits(samples, samples))


def train(regularizer: Regularizer | None, task: Task, x: Tensor, y: Tensor) -> None:
    """Two steps, the second in a later epoch; everything that comes of them is finite."""
    teach = getattr(regularizer, "teach", None)
    if teach is not None:
        teach(drawn(N, task.classes).to(x.dtype))
    if regularizer is not None:
        regularizer.attach(task)
    acting = {moment for moment in MOMENTS if regularizer is not None and overrides(regularizer, moment)}
    for epoch in (0, 500):
        task.optimizer.zero_grad()
        batch = Batch(x, y, torch.arange(N))
        batch = regularizer.transform(batch) if "transform" in acting else batch
        assert y.is_floating_point() or not batch.y.is_floating_point() or batch.y.dtype == x.dtype
        output = as_output(task.model(batch.x))
        step = Step(batch, output, task, epoch, epoch)  # type: ignore[arg-type]
        loss = task.criterion.loss(output, batch)
        if "loss" in acting:
            loss = regularizer.loss(step)
            assert loss.dtype in (torch.promote_types(x.dtype, torch.float32), torch.float64)
        if "penalty" in acting:
            penalty = regularizer.penalty(step)
            assert penalty.dtype == x.dtype
            loss = loss + penalty
        check("loss", loss)
        loss.backward()
        check("gradient", *(w.grad for w in task.model.parameters() if w.grad is not None))
        if "edit_gradients" in acting:
            regularizer.edit_gradients(task)
            check("edited gradient", *(w.grad for w in task.model.parameters() if w.grad is not None))
        task.optimizer.step()
        if "project" in acting:
            regularizer.project(task)
        check("weight", *task.model.parameters(), *task.model.buffers())
    for name, memory in regularizer.named_buffers():
        check(name, memory)
        if memory.is_floating_point() and x.dtype == torch.float64:
            assert memory.dtype == torch.float64, name


MOMENTS = ("attach", "transform", "loss", "penalty", "edit_gradients", "project")
TASKS = (MLP, NeuralODE, Latent)


def kind_for(make: Make) -> type[nn.Module]:
    """A model that a regularizer acts on."""
    x = drawn(N, *IMAGES.shape)
    for kind in TASKS:
        try:
            inputs = x.flatten(1) if kind is NeuralODE else x
            train(make(), task_of(kind, inputs, CLASSES, "drawn"), inputs, torch.arange(N) % CLASSES)
            return kind
        except ValueError:
            continue
    raise AssertionError(f"add to the TASKS of tests/test_extremes.py a model for {type(make()).__name__}")


# A loss takes any model, and one of those chosen asks for more classes than there are here.
KINDS: dict[type, type[nn.Module]] = {regrun.regularizers.Loss: MLP}
CASES = [  # of inputs, weights and numbers of classes
    ("large", "drawn", CLASSES),
    ("ordinary", "zero", CLASSES),
]
MORE_CASES = [
    ("equal", "equal", 1),
    *((name, "drawn", CLASSES) for name in ("ordinary", "equal", "zero", "negative", "tiny")),
    *((name, "drawn", 1) for name in ("ordinary", "large")),
]


@pytest.mark.parametrize("make", REGULARIZERS + CHOSEN)
def test_steps_with_a_regularizer_are_finite(make: Make, request: pytest.FixtureRequest) -> None:
    part = make()
    if isinstance(part, ClassificationLoss):
        return  # see above
    if type(part) not in KINDS:
        KINDS[type(part)] = kind_for(make)
    kind = KINDS[type(part)]
    whole = "=" not in request.node.name
    shape = (4,) if kind is NeuralODE else IMAGES.shape
    cases, formats = CASES + MORE_CASES * whole, FORMATS if whole else FORMATS[:1]
    if kind is NeuralODE:  # takes ten times as long, and two digits are too few to choose steps by
        cases, formats = CASES if whole else CASES[:1], [torch.float64] if whole else FORMATS[:1]
    for number, (name, weights, classes) in enumerate(cases):
        for dtype in formats:
            x = extremes(N, *shape)[name].to(dtype)
            y = targets(classes, dtype)[number % 2]
            with said_in_one_line():
                train(make(), task_of(kind, x, classes, weights), x, y)


@pytest.mark.parametrize("make", [end for end in REGULARIZERS if "=" not in str(end.id)])
def test_steps_in_float64_have_the_digits_of_float64(make: Make) -> None:
    """Along a line a step's loss is smooth; what is rounded to float32 on the way has steps of 1e-7."""
    cls = type(make())
    kind = KINDS.setdefault(cls, kind_for(make))
    x = drawn(N, *((4,) if kind is NeuralODE else IMAGES.shape))

    def objective(shift: float) -> float:
        task = task_of(kind, x, CLASSES, "drawn")
        regularizer = make()
        if hasattr(regularizer, "teach"):
            regularizer.teach(drawn(N, CLASSES))
        regularizer.attach(task)
        with torch.no_grad():
            for k, weight in enumerate(task.model.parameters()):
                weight.add_(drawn(*weight.shape, seed=k), alpha=shift)
        torch.manual_seed(0)
        batch = regularizer.transform(Batch(x, torch.arange(N) % CLASSES, torch.arange(N)))
        output = as_output(task.model(batch.x))
        step = Step(batch, output, task, 500, 500)  # type: ignore[arg-type]
        acts = [moment for moment in ("loss", "penalty") if overrides(regularizer, moment)]
        total = sum((getattr(regularizer, moment)(step) for moment in acts), torch.zeros(()))
        return float(total if acts else task.criterion.loss(output, batch))

    values = torch.tensor([objective(k * 1e-6) for k in range(-3, 4)], dtype=torch.float64)
    curvature = values.diff().diff().abs().max()
    assert float(curvature) < 1e-9 * float(1 + values.abs().max()), values.tolist()


# --------------------------------------------------------------------------- attention


@pytest.mark.parametrize("make", ATTENTIONS)
def test_attention_and_its_gradients_are_finite(make: Make) -> None:
    for name, numbers in extremes(3, 2, 6, 4).items():
        for dtype in FORMATS:
            for causal in (False, True):
                kind: Attention = make()
                q, k, v = (part.clone().requires_grad_() for part in numbers.to(dtype))
                with said_in_one_line():
                    mixed = kind.mix(q, q if kind.tied else k, v, causal)
                    assert mixed.dtype == dtype
                    mixed.sum().backward()
                    check(f"{name} {dtype} {causal}", mixed, q.grad, v.grad, kind(q, k, causal))


# ---------------------------------------------------------------------------- measures

T = tuple[Tensor, Tensor]  # features (samples, width) and classes of the samples


def ways(t: Tensor) -> Tensor:
    return t.softmax(1)


def scattered(t: Tensor, y: Tensor) -> collapse.Scatter:
    return collapse.scatter(t, y, CLASSES)


def network(t: Tensor) -> MLP:
    torch.manual_seed(0)
    return MLP(Features((t.shape[1],)), CLASSES, hidden=(3,)).to(t.dtype)


def loss_of(output: Output, batch: Batch) -> Tensor:
    return F.cross_entropy(output.logits, batch.y)


def landscape_of(t: Tensor, y: Tensor) -> landscape.Landscape:
    return landscape.Landscape(network(t), loss_of, Batch(t, y, y))


def mixture_of(t: Tensor) -> mixture.GaussianMixture:
    return mixture.GaussianMixture(t.log_softmax(1), t, F.softplus(t) + 1e-3)


MEASURES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "calibration.Reliability": lambda t, y: calibration.reliability(ways(t).amax(1), t.argmax(1) == y).error,
    "calibration.reliability": lambda t, y: calibration.reliability(ways(t).amax(1), t.argmax(1) == y),
    "calibration.uniform_reliability": lambda t, y: (
        calibration.uniform_reliability(ways(t).amax(1), t.argmax(1) == y).error
    ),
    "calibration.classwise_error": lambda t, y: calibration.classwise_error(ways(t), y),
    "calibration.brier_score": lambda t, y: calibration.brier_score(ways(t), y),
    "calibration.risk_coverage_area": lambda t, y: calibration.risk_coverage_area(
        ways(t).amax(1), t.argmax(1) == y
    ),
    "interaction_basis.Basis": lambda t, y: interaction_basis.principal_basis(t).projection(2),
    "interaction_basis.eigenpairs": lambda t, y: interaction_basis.eigenpairs(t.float().T @ t.float(), 0.0),
    "interaction_basis.gram": lambda t, y: interaction_basis.gram(t),
    "interaction_basis.principal_basis": lambda t, y: interaction_basis.principal_basis(t),
    "interaction_basis.local_interaction_basis": lambda t, y: interaction_basis.local_interaction_basis(
        t, t.T @ t
    ),
    "codes.codes_of": lambda t, y: codes.codes_of({"layer": t}),
    "codes.redundancy_ratio": lambda t, y: codes.redundancy_ratio(t > 0),
    "codes.hamming_neighbours": lambda t, y: codes.hamming_neighbours(t > 0, t > 0, 2),
    "codes.vote": lambda t, y: codes.vote(y[:, None], CLASSES),
    "codes.regions_between": lambda t, y: codes.regions_between(network(t), t, t.flip(0), 4),
    "collapse.Scatter": lambda t, y: [
        scattered(t, y).between,
        scattered(t, y).trace_ratio,
        scattered(t, y).pseudo_inverse_ratio,
    ],
    "collapse.scatter": scattered,
    "collapse.cosines": lambda t, y: collapse.cosines(scattered(t, y).means),
    "collapse.equal_norms": lambda t, y: collapse.equal_norms(scattered(t, y).means),
    "collapse.equal_angles": lambda t, y: collapse.equal_angles(scattered(t, y).means),
    "collapse.simplex_distance": lambda t, y: collapse.simplex_distance(scattered(t, y).means),
    "collapse.self_duality": lambda t, y: collapse.self_duality(scattered(t, y).means, scattered(t, y).means),
    "collapse.nearest_mean_disagreement": lambda t, y: collapse.nearest_mean_disagreement(
        t, t, scattered(t, y)
    ),
    "fourier.inverse_participation_ratio": lambda t, y: fourier.inverse_participation_ratio(t),
    "fourier.dominant_frequency": lambda t, y: fourier.dominant_frequency(t),
    "information.adaptive_codes": lambda t, y: information.adaptive_codes(t),
    "information.code_entropy": lambda t, y: information.code_entropy((t > 0).long()),
    "information.code_information": lambda t, y: information.code_information((t > 0).long(), y),
    "information.kernel_entropy": lambda t, y: information.kernel_entropy(t),
    "jacobian.input_jacobian": lambda t, y: jacobian.input_jacobian(network(t), t),
    "jacobian.centroid_alignment": lambda t, y: jacobian.centroid_alignment(t[:, None], t),
    "kernel.empirical_ntk": lambda t, y: kernel.empirical_ntk(network(t), t),
    "kernel.kernel_cosine": lambda t, y: kernel.kernel_cosine(t @ t.T, t @ t.T),
    "kernel.target_alignment": lambda t, y: kernel.target_alignment(t @ t.T, F.one_hot(y, CLASSES)),
    "landscape.Landscape": lambda t, y: [
        landscape_of(t, y).value(),
        landscape_of(t, y).hessian_vector(landscape_of(t, y).gradient()),
        landscape_of(t, y).gauss_newton_vector(landscape_of(t, y).gradient()),
        landscape_of(t, y).sample_gradients(),
    ],
    "mixture.GaussianMixture": lambda t, y: [
        mixture_of(t).log_density(t[:, 0]),
        mixture_of(t).cdf(t[:, 0]),
        mixture_of(t).quantile(0.9),
        mixture_of(t).deviation(),
        mixture_of(t).crps(t[:, 0]),
    ],
    "mixture.mean_distance": lambda t, y: mixture.mean_distance(t, F.softplus(t) + 1e-3),
    "mixture.bisect": lambda t, y: mixture.bisect(mixture_of(t).cdf, 0.5, t, t.abs() + 1, 40),
    "outliers.top_ratio": lambda t, y: outliers.top_ratio(t[None]),
    "outliers.massive_count": lambda t, y: outliers.massive_count(t[None]),
    "outliers.sink_share": lambda t, y: outliers.sink_share(ways(t)[None, None]),
    "outliers.kurtosis": lambda t, y: outliers.kurtosis(t),
    "redundancy.correlations": lambda t, y: redundancy.correlations(t),
    "redundancy.groups_of": lambda t, y: redundancy.groups_of(redundancy.correlations(t) > 0.5),
    "redundancy.distinct_units": lambda t, y: redundancy.distinct_units(t),
    "redundancy.sparsity_coefficient": lambda t, y: redundancy.sparsity_coefficient(t),
    "share.share": lambda t, y: share.share(t > 0, t),
    "share.unless_nan": lambda t, y: share.unless_nan(t.mean(), t),
    "slope.log_slope": lambda t, y: slope.log_slope([1.0, 2.0, 3.0], t.flatten()[:3].abs().tolist()),
    "spectrum.effective_rank": lambda t, y: spectrum.effective_rank(t.flatten().abs()),
    "spectrum.stable_rank": lambda t, y: spectrum.stable_rank(t.flatten().abs()),
    "spectrum.diffusion_spectral_entropy": lambda t, y: spectrum.diffusion_spectral_entropy(t),
    "spectrum.diffusion_information": lambda t, y: spectrum.diffusion_information(
        t, y, torch.Generator().manual_seed(0)
    ),
}
NO_MEASURES = ("looking.", "timing.", "lanczos.", "band_lanczos.", "landscape.Loss")  # of networks, or clocks


def parts(found: Any) -> Iterator[Tensor]:
    """The numbers of a result."""
    if is_dataclass(found):
        found = [getattr(found, field.name) for field in fields(found)]
    if isinstance(found, list | tuple):
        for part in found:
            yield from parts(part)
    else:
        yield torch.as_tensor(found)


def test_every_measure_is_gone_over() -> None:
    there = {name for name in functions_of(regrun.measures) if not name.startswith(NO_MEASURES)}
    assert there == set(MEASURES), "say in MEASURES of tests/test_extremes.py how to run it"


@pytest.mark.parametrize("name", MEASURES)
def test_measures_are_finite_or_what_they_say(name: str) -> None:
    """``nan`` and infinity are for those whose docstrings say when."""
    measure = functions_of(regrun.measures)[name]
    text = inspect.getsource(measure) if is_dataclass(measure) else str(measure.__doc__)
    for case, numbers in extremes(N, 8).items():
        for y in (torch.arange(N) % CLASSES, torch.zeros(N, dtype=torch.int64)):
            for dtype in FORMATS:
                if case == "ordinary" and bool(y.any()):  # must be answered
                    found = MEASURES[name](numbers.to(dtype), y)
                    check(f"{name} of {case} {dtype}", *parts(found))
                with said_in_one_line():
                    for part in parts(MEASURES[name](numbers.to(dtype), y)):
                        where = f"{name} of {case} {dtype}: {part}"
                        assert "nan" in text or not part.isnan().any(), where
                        assert "nfinite" in text or not part.isinf().any(), where


@pytest.mark.parametrize("name", MEASURES)
def test_measures_do_not_hide_what_is_not_a_number(name: str) -> None:
    t = drawn(N, 8)
    t[0, 0] = t[1, 3] = math.nan
    found = [*parts(MEASURES[name](t, torch.arange(N) % CLASSES))]
    numbers = [part for part in found if part.is_floating_point() and part.numel()]
    # Codes are of units that are on or off, and the derivative of a ReLU is, too.
    blind = name.startswith(("codes.", "information.code", "jacobian.input_jacobian"))
    assert blind or not numbers or any(part.isnan().any() for part in numbers), found
