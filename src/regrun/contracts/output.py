"""The output of a model."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """A model's output. A model that has only logits may return the bare tensor.

    Attributes:
        logits: ``(batch, classes)``.
        features: penultimate features ``(batch, width)``, if the model returns them.
        aux: further outputs by name, such as solver statistics or attention maps.
    """

    logits: Tensor
    features: Tensor | None = None
    aux: dict[str, Any] | None = None


def as_output(result: Tensor | Output) -> Output:
    """A model's result as an ``Output``."""
    return result if isinstance(result, Output) else Output(result)
