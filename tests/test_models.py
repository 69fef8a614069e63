from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regrun.data import Features, Tokens
from regrun.models import MLP, NeuralNGram, OneHotLinear, Transformer

PAIRS = Tokens(113, 2)


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_one_hot_linear_is_linear_on_one_hot(length: int, bias: bool) -> None:
    layer = OneHotLinear(7, length, 4, bias).double()
    linear = nn.Linear(7 * length, 4, bias).double()
    with torch.no_grad():
        linear.weight.copy_(layer.weight.t())
        if bias:
            linear.bias.copy_(layer.bias)
    x = torch.randint(7, (20, length))
    ours, theirs = layer(x), linear(F.one_hot(x, 7).flatten(1).double())
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    torch.testing.assert_close(layer.weight.grad, linear.weight.grad.t())


def test_one_hot_linear_starts_as_linear_does() -> None:
    torch.manual_seed(0)
    ours = OneHotLinear(113, 2, 200, bias=False)
    torch.manual_seed(0)
    theirs = nn.Linear(226, 200, bias=False)
    assert torch.equal(ours.weight, theirs.weight.t())


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_the_papers_networks_have_their_sizes() -> None:
    assert count(MLP(PAIRS, 113, (200, 200), bias=False)) == 226 * 200 + 200 * 200 + 200 * 113
    parity = MLP(Features((43,)), 2, (200, 200), bias=True)
    assert count(parity) == 44 * 200 + 201 * 200 + 201 * 2
    encoder = 3 * 128 * 129 + 128 * 129 + 2048 * 129 + 128 * 2049 + 4 * 128
    assert count(Transformer(PAIRS, 113)) == 113 * 128 + encoder + 129 * 113


def test_shapes_and_features() -> None:
    x = torch.randint(113, (6, 2))
    for model, width in ((MLP(PAIRS, 113), 200), (Transformer(PAIRS, 113), 128)):
        output = model(x)
        assert output.logits.shape == (6, 113)
        assert output.features.shape == (6, width)
        torch.testing.assert_close(model.head(output.features), output.logits)


def test_the_transformer_has_no_positions_but_reads_out_the_last_one() -> None:
    model = Transformer(PAIRS, 113).eval()
    ab, cb = torch.tensor([[3, 5]]), torch.tensor([[5, 3]])
    assert not torch.allclose(model(ab).logits, model(cb).logits)
    longer = Transformer(Tokens(113, 3), 113).eval()
    torch.testing.assert_close(
        longer(torch.tensor([[1, 2, 9]])).logits, longer(torch.tensor([[2, 1, 9]])).logits
    )


def test_a_model_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="reads symbols"):
        Transformer(Features((3,)), 2)
    with pytest.raises(ValueError, match="heads must divide"):
        Transformer(PAIRS, 113, width=130)
    with pytest.raises(ValueError, match="at least 1"):
        MLP(PAIRS, 113, hidden=[])


def test_an_ngram_reads_its_words_in_order() -> None:
    torch.manual_seed(0)
    model = NeuralNGram(Tokens(9, 3), 9, embedding=4, hidden=5)
    x = torch.tensor([[1, 2, 3], [3, 2, 1]])
    output = model(x)
    assert output.logits.shape == (2, 9)
    assert not torch.allclose(output.logits[0], output.logits[1])
    torch.testing.assert_close(output.logits, output.features @ model.head.weight.T)
