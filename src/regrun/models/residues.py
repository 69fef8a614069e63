"""The functions on symbols that a network's weights are."""

from __future__ import annotations

from torch import Tensor, nn

from regrun.models.one_hot import OneHotLinear


def residue_functions(model: nn.Module) -> list[Tensor]:
    """Each neuron's weights as functions of a symbol: ``(neurons, vocabulary)`` for each operand.

    Of the first layer on one-hot inputs, or of an embedding. In a network of two layers as many outputs as
    symbols, the outgoing weights too. Empty for other models.
    """
    modules = list(model.modules())
    layers = [m for m in modules if isinstance(m, nn.Linear | OneHotLinear)]
    first = next((m for m in layers if isinstance(m, OneHotLinear)), None)
    if first is None:
        tables = [m for m in modules if isinstance(m, nn.Embedding)]
        return [tables[0].weight.T] if tables else []
    functions = [part.T for part in first.weight.split(first.vocabulary)]
    last = layers[-1]
    if len(layers) == 2 and isinstance(last, nn.Linear) and last.out_features == first.vocabulary:
        functions.append(last.weight.T)
    return functions
