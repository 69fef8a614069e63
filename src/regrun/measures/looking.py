"""Looking at a network without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

ACTIVATIONS = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Softplus,
    nn.Sigmoid,
    nn.Tanh,
)


@contextmanager
def measuring(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, in which gradients of any order exist; the modules' modes are put back afterwards.

    Computes in the format of the weights, whatever training is autocast to. Attention is computed by its
    formula, because its fused kernels have no second derivatives.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        device = next((p.device.type for p in model.parameters()), "cpu")
        with (
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            torch.autocast(device, enabled=False),
            sdpa_kernel(SDPBackend.MATH),
        ):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def activation_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that are activation functions, by name, in the order in which the model has them."""
    return {name: module for name, module in model.named_modules() if isinstance(module, ACTIVATIONS)}


@torch.no_grad()
def activations(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The output of every activation function for a batch: ``(batch, ...)`` by name.

    A module that is used more than once appears as it was used last.

    Args:
        model: evaluated in evaluation mode.
        x: inputs as the model reads them.
    """
    return outputs_of(model, activation_layers(model), x)


@torch.no_grad()
def outputs_of(model: nn.Module, layers: dict[str, nn.Module], x: Tensor) -> dict[str, Tensor]:
    """The outputs of some modules of a model for a batch, by name."""
    with overheard(layers) as seen, measuring(model), torch.no_grad():
        model(x)
    return seen


@contextmanager
def overheard(layers: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of some modules while a model is evaluated, by name; detached."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            seen[name] = output.detach()

        return hook

    with ExitStack() as stack:
        for name, module in layers.items():
            stack.callback(module.register_forward_hook(keep(name)).remove)
        yield seen
