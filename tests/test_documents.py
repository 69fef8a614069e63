"""The committed ledger: its files' form and size, and the documents and figures that are made from it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from conftest import CHECKOUT
from regrun.config.catalogue import experiments, topics
from regrun.errors import UserError
from regrun.report.cross_table import read_result
from regrun.report.documents import (
    BEGIN,
    END,
    PAPERS,
    anchor,
    figure_place,
    figure_svg,
    index,
    pages,
    table,
    with_matrices,
    with_table,
)
from regrun.report.figures import draw_headline, svg_of
from regrun.report.plain_svg import plain_svg
from regrun.reproduction.compact import entry_text, read_text
from regrun.reproduction.curves import (
    MOST_POINTS,
    Headline,
    curve_of,
    headline_curves,
    panels_of,
    spans_decades,
)
from regrun.reproduction.entry import Curve, Curves, Entry, Habits, Panel
from regrun.reproduction.ledger import read_entry, write_entry
from regrun.reproduction.thinning import UNSEEN, thinned

LEDGER = sorted((CHECKOUT / "outputs" / "ledger").glob("*.json"))
LARGEST = 64_000  # bytes of a paper: its entry, page and figure
MEAN = 40_000  # over all papers


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return [read_entry(file) for file in LEDGER]


# ----------------------------------------------------------------- documents


def test_the_documents_are_those_of_the_ledger(entries: list[Entry]) -> None:
    made = pages(entries, topics())
    for place, text in made.items():
        assert (CHECKOUT / place).read_text(encoding="utf-8") == text, place
    figures = {PAPERS / figure_place(entry) for entry in entries}
    assert {file.relative_to(CHECKOUT) for file in (CHECKOUT / PAPERS).rglob("*.*")} == {*made, *figures}
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert readme == with_table(readme, entries, topics())
    assert table(entries, topics(), "docs/papers/index.md") in readme[readme.index(BEGIN) : readme.index(END)]
    tables = sorted((CHECKOUT / "outputs" / "ledger" / "matrix").glob("*.json"))
    assert readme == with_matrices(readme, [read_result(file) for file in tables])


@pytest.mark.parametrize("file", LEDGER[::8], ids=lambda file: file.stem)  # drawing all takes a while
def test_a_committed_figure_is_that_of_its_entry(file: Path) -> None:
    entry = read_entry(file)
    figures = (CHECKOUT / PAPERS / figure_place(entry)).read_text(encoding="utf-8"), figure_svg(entry)
    before, now = (np.array(list(map(float, re.findall(r"-?\d+", svg)))) for svg in figures)
    assert len(before) == len(now)
    assert np.abs(before - now).max() <= 2  # another processor may round a tenth of a point to the other side


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *(CHECKOUT / PAPERS).glob("*.md")]:
        text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("http"):
                continue
            file, _, fragment = unquote(target).partition("#")
            there = document.parent / file if file else document
            assert there.exists(), (document, target)
            if fragment:
                headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
                assert fragment in map(anchor, headings), (document, target)


def test_the_entry_page_and_figure_of_a_paper_are_small() -> None:
    sizes = {}
    for file in LEDGER:
        page = CHECKOUT / PAPERS / f"{file.stem}.md"
        parts = [file, page, page.parent / "figures" / f"{file.stem}.svg"]
        sizes[file.stem] = sum(part.stat().st_size for part in parts)
    assert {name: size for name, size in sizes.items() if size > LARGEST} == {}
    assert sum(sizes.values()) / len(sizes) <= MEAN
    assert not list((CHECKOUT / "outputs" / "ledger").glob("*.svg"))


def test_the_readme_does_not_grow_with_the_papers(entries: list[Entry]) -> None:
    several = [
        entry.model_copy(update={"experiment": f"{entry.experiment}_{k}"})
        for entry in entries
        for k in range(4)
    ]
    known = {f"{name}_{k}": topic for name, topic in topics().items() for k in range(4)}
    rows = table(several, known, "").count("\n")
    assert rows == table(entries, topics(), "").count("\n") == len(set(topics().values())) + 3


def test_papers_stand_under_the_topic_of_today_and_without_one_under_other(entries: list[Entry]) -> None:
    assert set(topics()) == {entry.name for entry in experiments()} - {"custom"}
    two = entries[:2]
    text = index(two, {two[0].experiment: "a topic"})
    first, other = text.index("## a topic"), text.index("## other")
    assert first < text.index(f"]({two[0].experiment}.md)") < other < text.index(f"]({two[1].experiment}.md)")


# --------------------------------------------------------------------- files


@pytest.mark.parametrize("file", LEDGER[::10], ids=lambda file: file.stem)
def test_an_entry_reads_as_it_was_written_also_from_an_older_file(file: Path, tmp_path: Path) -> None:
    entry = read_entry(file)
    assert entry.seal == entry.digest()
    again = tmp_path / "again.json"
    write_entry(entry, again)
    assert again.read_text(encoding="utf-8") == file.read_text(encoding="utf-8")
    again.write_text(entry.model_dump_json(indent=1), encoding="utf-8")  # as older files are
    assert read_entry(again).model_dump_json() == entry.model_dump_json()


OLD = """{"schema_version":2,"experiment":"e","scale":"small","overrides":[],
"paper":{"title":"T","year":2020.0},"looks":1,"claims":[],"measured":{"last(m[a])":[[1.0,1.0]]},"arms":{},
"cost":{"runs":1,"wall_seconds":2.0,"cpu_seconds":3.0},"environment":{},"data":[],"commits":["c"],
"code":{"probes":"h"},"judged":"2026-11-01",
"seal":"52bdffac61937182e02c97e276d58f37a2ab7a850ea1cffb11f77e866db86d8c"}"""


def test_an_entry_from_before_there_were_curves_has_the_seal_of_then(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text(OLD, encoding="utf-8")
    entry = read_entry(file)
    assert entry.curves is None
    assert entry.digest() == entry.seal == json.loads(OLD)["seal"]
    write_entry(entry, file)
    assert read_entry(file).seal == entry.seal
    assert '"year": 2020.0' in file.read_text(encoding="utf-8")  # what is sealed as it was typed stays so
    curves = Curves(x="step", log_x=False, panels=[])
    assert entry.model_copy(update={"curves": curves}).digest() != entry.seal


def test_what_is_written_once_is_read_to_the_last_digit(entries: list[Entry]) -> None:
    pairs = [(0.1, 0.1), (0.0, -0.0), (-0.0, -0.0), (1.0, 1.0), (math.nan, math.nan), (2.0, math.inf)]
    habits = Habits(
        smoke={"a": {"m": 1.0, "n": -0.0}, "b": {"n": math.nan}, "c": {"n": 1e300}, "d": {}},
        shared=["x"],
        own={"a": ["p", "q"], "b": [], "c": ["p"], "d": ["p", "q"]},
    )
    entry = entries[0].model_copy(update={"measured": {"last(m[a])": pairs}, "habits": habits}).sealed()
    text = entry_text(json.loads(entry.model_dump_json()))
    assert '"last(m[a])": [0.1,[0,-0.0],-0.0,1,null,[2,"inf"]]' in text
    assert '"metrics": ["n"],\n    "arms": {\n     "b": [null],\n     "c": [1e+300]\n    }' in text
    assert '"own": [["a","b","c","d"],[[0,2,3],["p"]],[[0,3],["q"]]]' in text
    again = Entry.model_validate(read_text(text))
    assert again.model_dump_json() == entry.model_dump_json()
    assert again.seal == again.digest()
    habits.own["b"] = ["q", "p"]  # not as it is recorded: it stays as it is
    entry = entry.sealed()
    again = Entry.model_validate(read_text(entry_text(json.loads(entry.model_dump_json()))))
    assert again.seal == again.digest() == entry.seal


def test_a_part_that_is_no_entry_s_is_named(tmp_path: Path) -> None:
    text = json.loads(LEDGER[0].read_text(encoding="utf-8"))
    for wrong, message in [
        ("[]", "the file: "),
        ("{", "Expecting property name"),
        (json.dumps(text | {"claims": 3}), "claims: "),
        (json.dumps(text | {"measured": {"m": [[1, 2, 3]]}}), "measured.m.0: "),
        (json.dumps(text | {"curves": {"x": "step"}}), "curves.log_x: "),
        (json.dumps(text | {"habits": {"smoke": [{}], "own": {}}}), "habits.smoke: "),
    ]:
        (tmp_path / "wrong.json").write_text(wrong, encoding="utf-8")
        with pytest.raises(UserError, match=f"wrong.json is no ledger entry: {re.escape(message)}"):
            read_entry(tmp_path / "wrong.json")


# -------------------------------------------------------------------- curves


def test_a_curve_is_the_mean_and_the_range_over_seeds() -> None:
    steps = np.array([0.0, 10.0])
    curve = curve_of(steps, np.array([[1.0, 2.0], [3.0, 8.0]]))
    assert curve == Curve(steps=[0, 10], mean=[2, 5], low=[1, 2], high=[3, 8])
    once = curve_of(steps[:1], np.array([[1.0], [3.0]]))
    assert once == Curve(steps=[0], mean=[1, 3], low=[], high=[])


def test_the_headline_has_the_chosen_metrics_and_arms() -> None:
    steps = np.arange(3.0)
    band = (steps, np.ones((2, 3)))
    gone = (steps, np.full((2, 3), np.nan))
    bands = {"other": {"a": band}, "loss": {"a": band, "b": band, "c": gone}, "test_accuracy": {"a": band}}
    curves = headline_curves(
        bands, Headline(curves=["loss", "absent"], arms=["b", "c"], x="samples", log_x=True)
    )
    assert curves is not None
    assert (curves.x, curves.log_x) == ("samples", True)
    assert [(panel.metric, list(panel.arms)) for panel in curves.panels] == [("loss", ["b"])]
    accuracy = headline_curves(bands, Headline())
    assert accuracy is not None
    assert [panel.metric for panel in accuracy.panels] == ["test_accuracy"]
    assert headline_curves({"loss": {"c": gone}}, Headline()) is None
    assert headline_curves({}, Headline()) is None


def test_an_axis_is_logarithmic_where_positive_values_span_decades() -> None:
    wide = np.logspace(-4, 2, 100)
    assert spans_decades("m", wide)
    assert not spans_decades("m", np.append(wide, -1.0))
    assert not spans_decades("share", wide / 100)
    assert spans_decades("test_loss", wide / 100)
    assert not spans_decades("m", np.array([np.nan, 0.0]))


def drawn(panel: Panel, arm: str, steps: list[float], line: str) -> np.ndarray:  # type: ignore[type-arg]
    curve = panel.arms[arm]
    return np.interp(steps, curve.steps, getattr(curve, line))


def test_fewer_points_draw_the_same_lines() -> None:
    steps = np.arange(0.0, 1001.0)
    smooth = 0.5 / (1 + np.exp(-(steps - 500) / 20))
    spike = np.where(steps == 777, 1.0, 0.0)
    bands = {
        "m": {"smooth": (steps, np.stack([smooth, smooth + 0.1])), "spike": (steps, np.stack([spike] * 2))}
    }
    full = Curves(x="step", log_x=False, panels=panels_of(["m"], bands))
    few = thinned(full, 100)
    (panel,) = few.panels
    assert panel.arms["spike"].steps == [0, 1, 776, 777, 778, 1000]  # of a spike what makes it, and no more
    assert len(panel.arms["smooth"].steps) < 60
    for arm in panel.arms:
        for line in ("mean", "low", "high"):
            wanted = getattr(full.panels[0].arms[arm], line)
            assert np.abs(drawn(panel, arm, steps.tolist(), line) - wanted).max() <= UNSEEN + 1e-4
    assert sum(len(curve.steps) for curve in thinned(full, 9).panels[0].arms.values()) == 9
    assert 777 in thinned(full, 9).panels[0].arms["spike"].steps  # the farthest first


def test_gaps_stay_and_digits_are_those_that_are_seen() -> None:
    steps = np.arange(0.0, 101.0)
    values = np.full(101, 0.123456)
    values[40:60] = np.nan
    bands = {"m": {"a": (steps, np.stack([values, values + 1e-3]))}}
    few = thinned(Curves(x="step", log_x=False, panels=panels_of(["m"], bands)), MOST_POINTS)
    curve = few.panels[0].arms["a"]
    assert curve.steps == [0, 1, 39, 40, 59, 60, 100]
    assert [math.isnan(v) for v in curve.mean] == [False, False, False, True, True, False, False]
    assert (curve.low[0], curve.mean[0], curve.high[0]) == (0.123456, 0.123956, 0.124456)
    wide = {"m": {"a": (steps, np.stack([np.logspace(-8, 1, 101)] * 3))}}
    (panel,) = thinned(Curves(x="step", log_x=False, panels=panels_of(["m"], wide)), MOST_POINTS).panels
    assert panel.log_y
    assert (panel.arms["a"].steps, panel.arms["a"].mean) == ([0, 1, 100], [1e-8, 1.23e-8, 10])


# ----------------------------------------------------------------- plain SVG

SVG = "{http://www.w3.org/2000/svg}"


def corners(course: str) -> list[tuple[int, int]]:
    """The points of a path of relative lines."""
    points: list[tuple[int, int]] = []
    for command, ends in re.findall(r"([Ml])([^Mlzh]*)", course):
        numbers = list(map(int, re.findall(r"-?\d+", ends)))
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            x, y = (0, 0) if command == "M" else points[-1]
            points.append((x + dx, y + dy))
    return points


def test_a_plain_figure_has_the_lines_and_words_of_the_drawn_one() -> None:
    curve = Curve(steps=[0, 5, 10], mean=[1, 3, 2], low=[0.5, 2.5, 1.5], high=[1.5, 3.5, 2.5])
    dots = Curve(steps=[10], mean=[1, 2, 3], low=[], high=[])
    panel = Panel(metric="a < b", log_y=False, arms={"line": curve, "dots": dots})
    colors = {"line": "#3b7dd8", "dots": "#e69f00"}
    svg = svg_of(draw_headline(Curves(x="step", log_x=False, panels=[panel]), colors))
    text = plain_svg(svg)
    assert len(text) < len(svg) / 4
    root = ElementTree.fromstring(text)
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert {"a < b", "step", "line", "dots", "0", "10"} <= set(words)
    courses = {
        (path.get("stroke"), path.get("fill")): path.attrib["d"]
        for group in root.iter(f"{SVG}g")
        if "clip-path" in group.attrib
        for path in group
    }
    # The mean, at its place in points; matplotlib's own coordinates are in the drawn one.
    (path,) = re.findall(r'<path d="([^"]*)" clip-path="[^"]*" style="fill: none; stroke: #3b7dd8', svg)
    wanted = [
        tuple(round(10 * float(end)) for end in point.split()[1:]) for point in path.strip().split("\n")
    ]
    assert corners(courses["#3b7dd8", None]) == wanted
    assert courses["#e69f00", None].count("h0") == 3
    band = corners(courses[None, "#3b7dd8"])
    assert len(band) == 7  # along the lower edge and back along the upper one
    assert [x for x, _ in band[1:4]] == [x for x, _ in wanted] == [x for x, _ in band[:3:-1]]
    middles = [(low[1] + high[1]) / 2 for low, high in zip(band[1:4], band[:3:-1], strict=True)]
    np.testing.assert_allclose(middles, [y for _, y in wanted], atol=1)
