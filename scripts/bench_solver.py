"""Time of a neural ODE: regrun's solver against torchdiffeq, torchode, diffrax, and the field alone.

All solve the same equation, a tanh network 196 -> 64 -> 196 in float32 (float64 for tolerances below 1e-6),
from 0 to 1 with Dopri5 at one tolerance and the controllers they come with, in one process, in turns, round
by round. Without ``--batches`` and ``--tolerances``: batch 512, tolerance 1e-6. Reported are medians in
milliseconds of the forward pass, and of it with the backward pass to the weights; beside them evaluations of
the field, and the ratio to regrun. ``field alone`` evaluates the network as often as regrun did, one after
the other, and sums up. ``statistics`` is regrun with gradients of the errors of its steps. diffrax is
compiled, and differentiates through its steps with checkpoints, its default.

    python scripts/bench_solver.py
    python scripts/bench_solver.py --batches 1 16 128 512 --tolerances 1e-3 1e-5 1e-6 1e-8

torchode and diffrax come with ``pip install 'regrun[bench]'``; what is missing is left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import torch
import torchdiffeq
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from regrun.solvers import Dopri5, odeint

SIZE, HIDDEN = 196, 64
Solve = Callable[[bool], float]  # with the backward pass or without; returns evaluations of the field


class Network(nn.Module):
    """The field."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(SIZE, HIDDEN)
        self.second = nn.Linear(HIDDEN, SIZE)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """``(batch, size)`` to the same."""
        return torch.tanh(self.second(torch.tanh(self.first(y))))


def torch_contenders(network: Network, start: Tensor, tolerance: float) -> dict[str, Solve]:
    """Solvers in PyTorch, by name."""

    def differentiate(loss: Tensor, backward: bool) -> None:
        if backward:
            network.zero_grad(set_to_none=True)
            loss.backward()

    def regrun(backward: bool, statistics: bool = False) -> float:
        with torch.set_grad_enabled(backward):
            solution = odeint(
                network,
                start,
                [0.0, 1.0],
                method=Dopri5(),
                rtol=tolerance,
                atol=tolerance,
                differentiable=statistics,
            )
            loss = solution.last.square().mean()
            if statistics:
                loss = loss + 0.1 * solution.statistics.error.mean()
            differentiate(loss, backward)
        return solution.statistics.mean_evaluations

    count = round(regrun(False))

    def alone(backward: bool) -> float:
        total, t = start.new_zeros(()), start.new_zeros(())
        with torch.set_grad_enabled(backward):
            for _ in range(count):
                total = total + network(t, start).mean()
            differentiate(total, backward)
        return count

    def diffeq(backward: bool) -> float:
        calls = 0

        def field(t: Tensor, y: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return network(t, y)

        with torch.set_grad_enabled(backward):
            times = torch.tensor([0.0, 1.0], dtype=start.dtype)
            states = torchdiffeq.odeint(field, start, times, rtol=tolerance, atol=tolerance, method="dopri5")
            differentiate(states[-1].square().mean(), backward)
        return calls

    contenders = {
        "regrun": regrun,
        "statistics": lambda backward: regrun(backward, True),
        "field alone": alone,
        "torchdiffeq": diffeq,
    }
    try:
        import torchode
    except ImportError:
        return contenders
    times = torch.tensor([[0.0, 1.0]], dtype=start.dtype).expand(len(start), 2)

    def ode(backward: bool) -> float:
        with torch.set_grad_enabled(backward):
            controller = torchode.IntegralController(
                atol=tolerance, rtol=tolerance, term=torchode.ODETerm(network)
            )
            method = torchode.Dopri5(term=torchode.ODETerm(network))
            solver = torchode.AutoDiffAdjoint(method, controller)
            solution = solver.solve(torchode.InitialValueProblem(y0=start, t_eval=times))
            differentiate(solution.ys[:, -1].square().mean(), backward)
        return float(solution.stats["n_f_evals"].float().mean())

    return {**contenders, "torchode": ode}


def jax_contender(network: Network, start: Tensor, tolerance: float) -> dict[str, Solve]:
    """diffrax, compiled; nothing if it is not installed."""
    try:
        import diffrax
        import jax
        import jax.numpy as jnp
    except ImportError:
        return {}
    jax.config.update("jax_enable_x64", start.dtype == torch.float64)
    weights = [jnp.asarray(parameter.detach().numpy()) for parameter in network.parameters()]
    y0 = jnp.asarray(start.numpy())

    def field(t: object, y: jax.Array, weights: list[jax.Array]) -> jax.Array:
        a, b, c, d = weights
        return jnp.tanh(jnp.tanh(y @ a.T + b) @ c.T + d)

    def solve(weights: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Dopri5(),
            t0=0.0,
            t1=1.0,
            dt0=None,
            y0=y0,
            args=weights,
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        )
        return (solution.ys[-1] ** 2).mean(), solution.stats["num_steps"]

    forward = jax.jit(solve)
    both = jax.jit(jax.value_and_grad(solve, has_aux=True))

    def run(backward: bool) -> float:
        if backward:
            (_, steps), gradients = both(weights)
            jax.block_until_ready(gradients)
        else:
            _, steps = jax.block_until_ready(forward(weights))
        return 2 + 6 * float(steps)

    return {"diffrax": run}


def measure(contenders: dict[str, Solve], backward: bool, rounds: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds, and evaluations, of each."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    evaluations: dict[str, float] = {}
    for count in range(rounds + 2):
        for name, solve in contenders.items():
            begin = time.perf_counter()
            evaluations[name] = solve(backward)
            if count >= 2:  # the first rounds compile and warm up
                taken[name].append(1e3 * (time.perf_counter() - begin))
    return {name: (statistics.median(times), evaluations[name]) for name, times in taken.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="*", default=[512])
    parser.add_argument("--tolerances", type=float, nargs="*", default=[1e-6])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    title = f"{options.threads} threads, torch {torch.__version__}, {options.rounds} rounds"
    table = Table(title=title)
    for column in ("batch", "tol", "solver", "f", "forward ms", "ratio", "with backward", "ratio"):
        table.add_column(column, justify="left" if column == "solver" else "right", no_wrap=True)
    for batch in options.batches:
        for tolerance in options.tolerances:
            torch.manual_seed(0)
            dtype = torch.float32 if tolerance >= 1e-6 else torch.float64
            network, start = Network().to(dtype), torch.rand(batch, SIZE, dtype=dtype)
            contenders = torch_contenders(network, start, tolerance) | jax_contender(
                network, start, tolerance
            )
            found = [measure(contenders, backward, options.rounds) for backward in (False, True)]
            for name in contenders:
                cells = []
                for result in found:
                    ours = result["regrun"][0]
                    cells += [f"{result[name][0]:.2f}", f"{result[name][0] / ours:.2f}"]
                evaluations = f"{found[0][name][1]:.0f}"
                table.add_row(str(batch), f"{tolerance:.0e}", name, evaluations, *cells)
            table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
