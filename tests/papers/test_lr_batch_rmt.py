"""Sharpness of batches, by the spiked matrix that predicts it."""

from __future__ import annotations

import math

from regrun.papers.lr_batch_rmt import prediction_error


def test_the_spiked_matrix_predicts_itself() -> None:
    """Sharpness as the formula has it is predicted without error, in both regimes."""
    samples, parameters = 1000, 500

    def means(full: float, square: float) -> dict[int, float]:
        found = {}
        for size in (8, 16, 32, 64):
            noise = parameters * (1 - size / samples) / size
            edge = math.sqrt(noise * square)
            found[size] = full + edge**2 / full if full > edge else 2 * edge
        return found

    for full, square in ((6.0, 0.3), (0.01, 0.3)):
        assert prediction_error(means(full, square), full, parameters / samples, samples) < 1e-9
