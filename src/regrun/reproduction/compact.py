"""The compact text format of entries: each figure once, one line per item.

The file stores repeated parts of an entry once: both bounds of an exact figure, metric names of smoke runs,
settings shared by arms. Reading restores the entry exactly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any

Json = Any
COLUMNS = ("steps", "mean", "low", "high")  # of a curve


def entry_text(entry: Json) -> str:
    """The text of an entry's file.

    Args:
        entry: the parsed result of ``Entry.model_dump_json``.
    """
    written = {name: _PARTS[name][0](part) if name in _PARTS else part for name, part in entry.items()}
    return _lines(written) + "\n"


def read_text(text: str) -> Json:
    """Parse an entry's file into the input of ``Entry.model_validate``; reads older formats, too.

    Invalid parts are passed on for the validation to report.

    Raises:
        ValueError: if it is not JSON.
    """
    entry = json.loads(text)
    for name in _PARTS if isinstance(entry, dict) else ():
        with suppress(KeyError, IndexError, TypeError, ValueError, AttributeError):
            entry[name] = _PARTS[name][1](entry[name])
    return entry


def _lines(value: Json, indent: int = 0) -> str:
    # Values without mappings, and mappings to numbers, take one line.
    if isinstance(value, dict) and any(not isinstance(v, int | float) for v in value.values()):
        opening, closing = "{}"
        inside = [f"{_line(key)}: {_lines(v, indent + 1)}" for key, v in value.items()]
    elif isinstance(value, list) and _holds_mappings(value):
        opening, closing = "[]"
        inside = [_lines(v, indent + 1) for v in value]
    else:
        return _line(value)
    pad = "\n" + " " * (indent + 1)
    return f"{opening}{pad}{f',{pad}'.join(inside)}\n{' ' * indent}{closing}"


def _line(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _holds_mappings(values: list[Json]) -> bool:
    return any(isinstance(v, dict) or (isinstance(v, list) and _holds_mappings(v)) for v in values)


# ------------------------------------------------------------------- numbers


def _number(value: Json) -> Json:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return int(value) if whole and str(value) != "-0.0" else value


def _numbers(values: list[Json]) -> list[Json]:
    return [_number(value) for value in values]


def _narrow(pair: Json) -> Json:
    low, high = pair
    return _number(low) if str(low) == str(high) else _numbers(pair)  # 0 and -0 differ


def _wide(end: Json) -> Json:
    return end if isinstance(end, list) else [end, end]


# ------------------------------------------------------- the parts of an entry


def _pairs_of_claims(change: Callable[[Json], Json], claims: Json) -> Json:
    return [claim | {"comparisons": [_pairs_of(change, c) for c in claim["comparisons"]]} for claim in claims]


def _pairs_of(change: Callable[[Json], Json], comparison: Json) -> Json:
    values = [change(pair) for pair in comparison["values"]]
    return comparison | {"estimate": change(comparison["estimate"]), "values": values}


def _pairs_of_measured(change: Callable[[Json], Json], measured: Json) -> Json:
    return {name: [change(pair) for pair in pairs] for name, pairs in measured.items()}


def _final_numbers(arms: Json) -> Json:
    return {
        name: arm | {"final": {metric: _numbers(values) for metric, values in arm["final"].items()}}
        for name, arm in arms.items()
    }


def _without_repeats(habits: Json) -> Json:
    return habits and habits | {"smoke": _tables(habits["smoke"]), "own": _rows(habits["own"])}


def _with_repeats(habits: Json) -> Json:
    return habits and habits | {"smoke": _runs(habits["smoke"]), "own": _lists(habits["own"])}


def _tables(smoke: Json) -> Json:
    # Consecutive arms with the same metrics form one table.
    return [
        {"metrics": metrics, "arms": {arm: _numbers(list(found.values())) for arm, found in arms}}
        for metrics, arms in groupby(smoke.items(), lambda arm: list(arm[1]))
    ]


def _runs(tables: Json) -> Json:
    if isinstance(tables, dict):
        return tables
    return {
        arm: dict(zip(table["metrics"], values, strict=True))
        for table in tables
        for arm, values in table["arms"].items()
    }


def _rows(own: Json) -> Json:
    # Settings are grouped by the exact set of arms that have them; arms are referred to by position.
    if any(settings != sorted(set(settings)) for settings in own.values()):
        return own
    by_arms: dict[tuple[int, ...], list[str]] = {}
    for setting in sorted({setting for settings in own.values() for setting in settings}):
        having = tuple(k for k, settings in enumerate(own.values()) if setting in settings)
        by_arms.setdefault(having, []).append(setting)
    return [list(own), *([list(having), settings] for having, settings in by_arms.items())]


def _lists(rows: Json) -> Json:
    if isinstance(rows, dict):
        return rows
    arms, *shared = rows
    return {
        arm: sorted(setting for having, settings in shared if k in having for setting in settings)
        for k, arm in enumerate(arms)
    }


def _each_curve(change: Callable[[Json], Json], curves: Json) -> Json:
    if curves is None:
        return None
    panels = [
        panel | {"arms": {arm: change(curve) for arm, curve in panel["arms"].items()}}
        for panel in curves["panels"]
    ]
    return curves | {"panels": panels}


def _columns(curve: Json) -> Json:
    return [_numbers(curve[name]) for name in COLUMNS]


def _named(curve: Json) -> Json:
    return dict(zip(COLUMNS, curve, strict=True)) if isinstance(curve, list) else curve


def _same(part: Json) -> Json:
    return part


_PARTS: Mapping[str, tuple[Callable[[Json], Json], Callable[[Json], Json]]] = {
    "claims": (partial(_pairs_of_claims, _narrow), partial(_pairs_of_claims, _wide)),
    "measured": (partial(_pairs_of_measured, _narrow), partial(_pairs_of_measured, _wide)),
    "arms": (_final_numbers, _same),
    "habits": (_without_repeats, _with_repeats),
    "curves": (partial(_each_curve, _columns), partial(_each_curve, _named)),
}
