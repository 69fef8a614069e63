"""Models of series that are observed now and then: the latent ODE, and the ODE-RNN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec, Series
from regrun.contracts.output import Output
from regrun.models.ordinary_dynamics import OrdinaryDynamics
from regrun.models.vector_fields import TanhField
from regrun.solvers import ODESolver, Solution


class LatentODE(nn.Module):
    """A variational autoencoder of series: an encoder guesses a latent initial state, which then flows.

    A GRU reads the observations backward in time, with their masks and the time to the next one. Rubanova et
    al., *Latent ODEs for irregularly-sampled time series*, arXiv 1907.03907; the field of Pal et al.,
    arXiv 2105.03918, has pairs of a tanh layer to ``hidden`` and one back. In evaluations the latent state is
    the mean.

    Args:
        inputs: series, and the times.
        classes: channels of the series.
        latent: entries of the latent state.
        hidden: width of the field's inner layers.
        pairs: number of pairs of layers in the field.
        encoder: width of the encoder.
        solver: solver of the equation.

    Shape:
        input ``(batch, times, 2 channels)``, output ``(batch, times, channels)``; ``aux["kl"]``: divergence
        of each latent distribution from the standard normal, ``(batch,)``.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        latent: int = 20,
        hidden: int = 50,
        pairs: int = 4,
        encoder: int = 40,
        solver: ODESolver | None = None,
    ) -> None:
        super().__init__()
        self.series = series_of(inputs)
        self.encoder = nn.GRU(2 * self.series.channels + 1, encoder, batch_first=True)
        self.guess = nn.Linear(encoder, 2 * latent)
        widths = [hidden if k % 2 == 0 else latent for k in range(2 * pairs - 1)]
        field = TanhField(latent, widths, with_time=False)
        self.dynamics = OrdinaryDynamics(field, solver or ODESolver())
        self.decoder = nn.Linear(latent, classes)
        gaps = torch.diff(torch.tensor(self.series.times), append=torch.tensor(self.series.times[-1:]))
        self.register_buffer("gaps", gaps[:, None], persistent=False)

    def forward(self, x: Tensor) -> Output:
        x = x.to(self.decoder.weight.dtype)
        gaps = self.get_buffer("gaps").to(x.dtype).expand(len(x), -1, 1)
        _, last = self.encoder(torch.cat([x, gaps], -1).flip(1))
        mean, log_variance = self.guess(last[0]).chunk(2, 1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        start = mean
        if self.training:
            start = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        states, aux = self.dynamics(start, self.series.times)
        return Output(self.decoder(states).transpose(0, 1), mean, {**aux, "kl": divergence})


class ODERNN(nn.Module):
    """A recurrent network whose state flows between observations; predicts each before it sees it.

    Rubanova et al., arXiv 1907.03907.

    Args:
        inputs: series, and the times.
        classes: channels of the series.
        state: entries of the state.
        hidden: widths of the field's hidden layers.
        solver: solver of the equation.

    Shape:
        input ``(batch, times, 2 channels)``, output ``(batch, times, channels)``.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        state: int = 20,
        hidden: Sequence[int] = (50,),
        solver: ODESolver | None = None,
    ) -> None:
        super().__init__()
        self.series = series_of(inputs)
        self.cell = nn.GRUCell(2 * self.series.channels, state)
        field = TanhField(state, hidden, with_time=False)
        self.dynamics = OrdinaryDynamics(field, solver or ODESolver())
        self.decoder = nn.Linear(state, classes)

    def forward(self, x: Tensor) -> Output:
        x = x.to(self.decoder.weight.dtype)
        state = x.new_zeros(len(x), self.cell.hidden_size)
        observed = x[..., self.series.channels :].any(-1, keepdim=True)
        outputs, solutions = [self.decoder(state)], []
        for k, (t, following) in enumerate(pairwise(self.series.times)):
            state = torch.where(observed[:, k], self.cell(x[:, k], state), state)
            states, aux = self.dynamics(state, (t, following))
            state = states[-1]
            solutions.append(aux["solution"])
            outputs.append(self.decoder(state))
        if self.training:
            self.dynamics.solves -= len(solutions) - 1  # all of them are one pass
        return Output(torch.stack(outputs, 1), state, {"solution": joined(solutions)})


def series_of(inputs: InputSpec) -> Series:
    """The inputs, if they are series.

    Raises:
        ValueError: if they are not.
    """
    if not isinstance(inputs, Series):
        raise ValueError(f"this model reads series, and not {inputs}; choose dataset=irregular_sinusoids")
    return inputs


def joined(solutions: Sequence[Solution]) -> Solution:
    """Solutions one after the other as one."""
    all_ = [solution.statistics for solution in solutions]
    stiffness = [each.stiffness for each in all_ if each.stiffness is not None]
    statistics = replace(
        all_[0],
        evaluations=sum(torch.as_tensor(each.evaluations) for each in all_),
        accepted=sum(torch.as_tensor(each.accepted) for each in all_),
        rejected=sum(torch.as_tensor(each.rejected) for each in all_),
        t=torch.cat([each.t for each in all_]),
        h=torch.cat([each.h for each in all_]),
        error=torch.cat([each.error for each in all_]),
        stiffness=torch.cat(stiffness) if stiffness else None,
        taken=torch.cat([each.taken for each in all_]),
    )
    return Solution(
        torch.cat([solutions[0].times[:1], *(each.times[1:] for each in solutions)]),
        torch.cat([solutions[0].states[:1], *(each.states[1:] for each in solutions)]),
        statistics,
        [segment for each in solutions for segment in each.segments],
    )
