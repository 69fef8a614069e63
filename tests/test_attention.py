"""Attention and the small transformer, against definitions, limits and each other."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from regrun.data import Features, Images, Tokens
from regrun.models import SmallTransformer
from regrun.models.attention import (
    Attention,
    DotProductAttention,
    InverseDistanceAttention,
    LinearAttention,
)
from regrun.models.gaussian_attention import GaussianAttention, newton_inverse, pool_tokens
from regrun.probability_maps import Softmax, Softpick, Sparsemax, SparseSoftmax, StableMax

KINDS: dict[str, Callable[[], Attention]] = {
    "softmax": DotProductAttention,
    "sparsemax": lambda: DotProductAttention(Sparsemax()),
    "sparse_softmax": lambda: DotProductAttention(SparseSoftmax(2)),
    "stablemax": lambda: DotProductAttention(StableMax()),
    "softpick": lambda: DotProductAttention(Softpick()),
    "inverse_distance": InverseDistanceAttention,
    "linear": LinearAttention,
    "gaussian_whole": lambda: GaussianAttention(None),
    "gaussian": lambda: GaussianAttention(4),
}
CAUSAL = [name for name in KINDS if name != "gaussian"]
SUMS_TO_ONE = ("softmax", "sparsemax", "sparse_softmax", "stablemax", "inverse_distance", "linear")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def queries_keys_values(kind: Attention, n: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (drawn(2, 3, n, 4, seed=seed) for seed in range(3))
    return q, q if kind.tied else k, v


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_mixed_is_the_visible_weights_times_the_values(name: str, causal: bool) -> None:
    kind = KINDS[name]()
    if causal and name not in CAUSAL:
        with pytest.raises(ValueError, match="cannot be causal"):
            kind.mix(*queries_keys_values(kind), causal)
        return
    q, k, v = queries_keys_values(kind)
    fast = kind.mix(q, k, v, causal)
    kind.visible = True
    seen: list[Tensor] = []
    kind.register_forward_hook(lambda module, inputs, output: seen.append(output))
    torch.testing.assert_close(kind.mix(q, k, v, causal), fast)
    (weights,) = seen
    torch.testing.assert_close(weights @ v, fast)
    if causal:
        assert not weights.triu(1).any()
    if name in SUMS_TO_ONE:
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 9, dtype=torch.float64))


def test_softmax_attention_is_pytorchs_at_any_temperature() -> None:
    q, k, v = (drawn(2, 3, 9, 4, seed=seed) for seed in range(3))
    for temperature in (1.0, 2.5):
        ours = DotProductAttention(Softmax(temperature)).mix(q, k, v, causal=True)
        expected = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.5 / temperature)
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_inverse_distances_weigh_and_a_key_at_the_query_takes_all(power: float) -> None:
    kind = InverseDistanceAttention(power, eps=1e-30)
    q, k, _ = queries_keys_values(kind)
    distance = torch.cdist(q, k)
    expected = distance**-power / (distance**-power).sum(-1, keepdim=True)
    torch.testing.assert_close(kind(q, k, False), expected)
    k[..., 2, :] = q[..., 5, :]
    torch.testing.assert_close(kind(q, k, False)[..., 5, 2], torch.ones(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_features_that_vanish_attend_to_nothing(dtype: torch.dtype) -> None:
    kind = LinearAttention()
    q, k, v = (part.to(dtype) for part in queries_keys_values(kind))
    q[..., 3, :] = -1e4
    for causal in (False, True):
        rows = q.clone().requires_grad_()
        mixed = kind.mix(rows, k, v, causal)
        assert not mixed[..., 3, :].any()
        mixed.sum().backward()
        assert rows.grad is not None
        assert rows.grad.isfinite().all()


def test_half_precision_is_computed_in_float32() -> None:
    q = -8 - torch.rand(1, 1, 4, 3, generator=torch.Generator().manual_seed(0))  # elu is -1 in bfloat16
    k, v = drawn(1, 1, 4, 3).float(), drawn(1, 1, 4, 3, seed=1).float()
    q, k, v = (part.bfloat16() for part in (q, k, v))
    same = torch.full((1, 1, 9, 4), 0.1, dtype=torch.bfloat16)  # a kernel of ones; its ridge rounds away
    for kind, parts in (
        (LinearAttention(), (q, k, v)),
        (GaussianAttention(4, iterations=60), (same, same, v[..., :1, :].expand(1, 1, 9, 3))),
    ):
        wide = [part.float() for part in parts]
        for found, expected in (
            (kind.mix(*parts, False), kind.mix(*wide, False)),
            (kind(*parts[:2], False), kind(*wide[:2], False)),
        ):
            assert found.dtype == torch.bfloat16
            torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.03)


def test_the_gaussian_kernel_is_symmetric_with_ones_on_its_diagonal() -> None:
    q = drawn(2, 3, 9, 4)
    weights = GaussianAttention(None)(q, q, False)
    torch.testing.assert_close(weights, torch.exp(-torch.cdist(q, q).square() / (2 * math.sqrt(4))))
    torch.testing.assert_close(weights, weights.mT)
    torch.testing.assert_close(weights.diagonal(dim1=-2, dim2=-1), torch.ones(2, 3, 9, dtype=torch.float64))


def test_as_many_pooled_tokens_as_there_are_lose_nothing() -> None:
    q = drawn(2, 3, 9, 4)
    low = GaussianAttention(9, iterations=60, ridge=0)
    near, inverse = low.factors(q, q, False)
    root = near.sum(-1).sqrt()
    plain = root[..., None] * inverse * root[..., None, :]  # without the normalization
    torch.testing.assert_close(
        near.mT @ plain @ near, GaussianAttention(None)(q, q, False), atol=1e-6, rtol=0
    )


def test_newtons_inverse_is_the_inverse_and_its_gradient_too() -> None:
    x = drawn(3, 20, 32)
    a = torch.exp(-torch.cdist(x, x).square() / (2 * math.sqrt(32)))
    found = newton_inverse(a)
    torch.testing.assert_close(a @ found, torch.eye(20, dtype=a.dtype).expand(3, 20, 20), atol=1e-6, rtol=0)
    small = (a[0, :4, :4]).clone().requires_grad_()
    assert gradcheck(newton_inverse, (small,), atol=1e-4)
    torch.testing.assert_close(newton_inverse(a), torch.linalg.pinv(a), atol=1e-6, rtol=0)


def test_pooling_takes_means_of_patches_of_a_grid_or_pieces_of_a_line() -> None:
    grid = torch.arange(16.0).view(1, 16, 1)
    assert pool_tokens(grid, 4).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert pool_tokens(torch.arange(6.0).view(1, 6, 1), 3).flatten().tolist() == [0.5, 2.5, 4.5]


# ---------------------------------------------------------------- the transformer


@pytest.mark.parametrize("name", CAUSAL)
def test_a_language_model_does_not_look_ahead(name: str) -> None:
    torch.manual_seed(0)
    for pre_norm in (True, False):
        model = SmallTransformer(
            Tokens(11, 6), 11, KINDS[name], width=8, heads=2, layers=2, pre_norm=pre_norm
        )
        torch.nn.init.normal_(model.positions)
        x = torch.randint(11, (2, 6))
        changed = x.clone()
        changed[:, 4:] = (changed[:, 4:] + 1) % 11
        a, b = model(x), model(changed)
        torch.testing.assert_close(a[:, :4], b[:, :4])
        assert (a[:, 4:] - b[:, 4:]).abs().amin(-1).max() > 1e-4


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "inputs", [Images((3, 8, 8), (0.5,) * 3, (0.2,) * 3), Features((8, 8)), Tokens(7, 4)]
)
def test_images_and_symbols_are_classified(name: str, inputs: Images | Features | Tokens) -> None:
    torch.manual_seed(0)
    read = "last" if isinstance(inputs, Tokens) else "mean"
    model = SmallTransformer(inputs, 5, KINDS[name], width=8, heads=2, causal=False, read=read, patch=2)
    x = torch.randint(7, (3, 4)) if isinstance(inputs, Tokens) else torch.randn(3, *inputs.shape)
    output = model(x)
    assert output.logits.shape == (3, 5)
    assert output.features.shape == (3, 8)
    output.logits.square().sum().backward()
    for weights, p in model.named_parameters():
        assert p.grad is not None, weights
        assert p.grad.isfinite().all()


def test_patches_are_the_images_own_squares() -> None:
    model = SmallTransformer(Features((4, 4)), 2, width=4, heads=1, read="mean", causal=False, patch=2)
    with torch.no_grad():
        model.embedding.embed.weight.copy_(torch.eye(4))
        model.embedding.embed.bias.zero_()
    image = torch.arange(16.0).view(1, 4, 4)
    assert model.embedding(image)[0].tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SmallTransformer(Tokens(7, 4), 7, width=10), "heads must divide width"),
        (lambda: SmallTransformer(Tokens(7, 4), 7, read="first"), "read must be one of"),
        (lambda: SmallTransformer(Features((9, 9)), 7, read="mean"), "do not tile inputs"),
        (lambda: SmallTransformer(Features((8, 8)), 7), "a language model reads symbols"),
        (lambda: InverseDistanceAttention(0), "above 0"),
        (lambda: GaussianAttention(0), "at least 1"),
    ],
)
def test_what_cannot_be_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
