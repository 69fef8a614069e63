"""Metrics whose parts are numbers, as figures."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from regrun.report.profiles import Profile, Profiles, evolution_figure, parse_part, profiles_figure, stack
from regrun.reproduction.curves import collect


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("0.25", ("position", 0.25)),
        ("layer=2", ("layer", 2.0)),
        ("eigenvalue=-1.8e-3", ("eigenvalue", -0.0018)),
        ("body.0.weight", None),
        ("p05", None),
    ],
)
def test_a_part_says_what_its_number_is(part: str, expected: object) -> None:
    assert parse_part(part, "position") == expected


def test_seeds_are_stacked_at_the_places_and_steps_they_share() -> None:
    first = {1.0: {0: 1.0, 5: 2.0}, 2.0: {0: 3.0, 5: 4.0}, 3.0: {0: 5.0, 5: 6.0}, 4.0: {0: 0.0}}
    second = {place: {0: 10.0, 5: 20.0} for place in (1.0, 2.0, 3.0)}
    profile = stack([first, second])
    assert profile is not None
    assert profile.places.tolist() == [1, 2, 3]
    assert profile.steps.tolist() == [0, 5]
    assert profile.values[0].tolist() == [[1, 3, 5], [2, 4, 6]]
    assert stack([{1.0: {0: 1.0}, 2.0: {0: 1.0}}]) is None  # too few for a line
    assert stack([first, {place: {7: 1.0} for place in (1.0, 2.0, 3.0)}]) is None


def test_long_profiles_over_time_are_heat_maps() -> None:
    places = np.array([-1.0, -0.1, 0.0, 0.1, 1.0, 10.0, 100.0, 1000.0])
    values = np.random.default_rng(0).random((3, 6, 8))
    long = Profiles("eigenvalue", {"arm": Profile(places, np.arange(6) * 1000.0, values)})
    short = Profiles("layer", {"arm": Profile(places[:3], np.arange(6.0), values[:, :, :3])})
    assert evolution_figure({"nc1_layer": short}, ["arm"]) is None
    canvas = evolution_figure({"density": long, "nc1_layer": short}, ["arm"])
    assert canvas is not None
    (ax,) = (ax for ax in canvas.axes if ax.get_visible())
    assert ax.get_title(loc="left") == "density, arm"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1000", "2000", "4000", "5000"]
    mesh = ax.collections[0].get_array()
    np.testing.assert_allclose(np.asarray(mesh).reshape(8, 6), values.mean(0).T)
    lines = profiles_figure({"density": long, "nc1_layer": short}, {"arm": "#3b7dd8"})
    first, second = lines.axes[:2]
    assert first.get_xscale() == "symlog"
    np.testing.assert_allclose(second.lines[0].get_ydata(), values[:, -1, :3].mean(0))


def test_curves_are_drawn_at_the_steps_that_all_seeds_have() -> None:
    curves = {
        0: {
            "loss": (np.array([0.0, 5.0, 7.0]), np.array([3.0, 2.0, 1.0])),
            "end": (np.array([7.0]), np.array([4.0])),
        },
        1: {
            "loss": (np.array([0.0, 5.0, 9.0]), np.array([6.0, 5.0, 4.0])),
            "end": (np.array([9.0]), np.array([8.0])),
        },
    }
    reading = SimpleNamespace(
        complete=lambda: [SimpleNamespace(arm="arm", seed=seed) for seed in curves],
        curves=lambda arm, seed: curves[seed],
    )
    bands = collect(reading)  # type: ignore[arg-type]
    steps, values = bands["loss"]["arm"]
    assert steps.tolist() == [0, 5]
    assert values.tolist() == [[3, 2], [6, 5]]
    # What is measured at the end alone has no step in common; it still is one point for each seed.
    steps, values = bands["end"]["arm"]
    assert steps.tolist() == [9]
    assert values.tolist() == [[4], [8]]
