"""Muon for the hidden matrices, AdamW for the rest, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer


class MuonWithAdamW(Optimizer):
    """Orthogonalized momentum for hidden matrices, AdamW for every other parameter.

    Jordan et al., *Muon: An optimizer for hidden layers in neural networks* (2024): the method is made for
    matrices that act between hidden layers; embeddings, the first and the last layer, biases and gains are
    left to AdamW. Built on ``torch.optim.Muon``.

    Args:
        parameters: ``(name, parameter)`` pairs, in the model's order; matrices but the first and the last
            go to Muon.
        lr: Muon's learning rate.
        momentum: Muon's momentum.
        weight_decay: decoupled weight decay of both.
        adamw_lr: AdamW's learning rate.
        adamw_betas: AdamW's moment decay rates.
        adamw_eps: AdamW's term in the denominator.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        adamw_lr: float = 1e-3,
        adamw_betas: tuple[float, float] = (0.9, 0.99),
        adamw_eps: float = 1e-8,
    ) -> None:
        parameters = [(name, p) for name, p in parameters if p.requires_grad]
        matrices = [p for _, p in parameters if p.ndim == 2]
        hidden = matrices[1:-1]
        if not hidden:
            raise ValueError("muon needs a hidden matrix, and this model has only a first and a last layer")
        chosen = {id(p) for p in hidden}
        rest = [p for _, p in parameters if id(p) not in chosen]
        self.muon = Muon(hidden, lr=lr, momentum=momentum, weight_decay=weight_decay)
        self.adamw = AdamW(
            rest,
            lr=adamw_lr,
            betas=(adamw_betas[0], adamw_betas[1]),
            eps=adamw_eps,
            weight_decay=weight_decay,
        )
        # One list of the inner optimizers' own groups: schedules and regularizers that change a group's
        # learning rate reach the optimizer that uses it.
        super().__init__([{"params": hidden}, {"params": rest}], {})
        self._share_groups()

    @property
    def parts(self) -> tuple[Muon, AdamW]:
        """The two inner optimizers."""
        return self.muon, self.adamw

    def _share_groups(self) -> None:
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Both parts' states."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both parts."""
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])
        self._share_groups()
