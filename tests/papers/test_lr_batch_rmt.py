"""Sharpness of batches, by the spiked matrix that predicts it."""

from __future__ import annotations

import math

import pytest
import torch

from regrun.papers.lr_batch_rmt import prediction_error

SAMPLES, PARAMETERS = 1000, 500
SIZES = (8, 16, 32, 64)


def sharpness(full: float, square: float, size: int, generator: torch.Generator) -> float:
    """Largest eigenvalue of ``full`` times a projection, plus noise as a symmetric random matrix."""
    n = 1000
    edge = math.sqrt(square * PARAMETERS * (1 - size / SAMPLES) / size)
    noise = torch.randn(n, n, generator=generator, dtype=torch.float64)
    matrix = edge / math.sqrt(2 * n) * (noise + noise.T)  # its semicircle ends at twice the edge
    matrix[0, 0] += full
    return float(torch.linalg.eigvalsh(matrix)[-1])


@pytest.mark.parametrize(("full", "square"), [(6.0, 0.3), (0.01, 0.3)], ids=["spike", "bulk"])
def test_random_matrices_have_the_predicted_sharpness(full: float, square: float) -> None:
    """With a spike above the edge of the bulk, and without."""
    generator = torch.Generator().manual_seed(0)
    means = {size: sharpness(full, square, size, generator) for size in SIZES}
    assert prediction_error(means, full, PARAMETERS / SAMPLES, SAMPLES) < 0.05
    assert prediction_error(dict.fromkeys(SIZES, 9.0), full, PARAMETERS / SAMPLES, SAMPLES) > 0.1
