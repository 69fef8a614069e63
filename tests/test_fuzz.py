"""Whatever is typed: it works, or one line says what is wrong. Never a traceback, and nothing half-done."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from regrun.config.catalogue import COMPONENT_GROUPS, components, experiments
from regrun.config.composing import compose_config
from regrun.config.explaining import dotted_keys

FIXED = ("scale=smoke", "steps=1", "logger=csv", "trainer=cpu", "trainer.threads=1")
LONG = ("steps", "procedure.steps", "seeds")  # a large value of which is not wrong, and takes for ever
SECONDS = 30  # after which a case that computes something large is given up

NUMBERS = (
    "0",
    "-1",
    "1",
    "2",
    "0.5",
    "1e-3",
    "nan",
    "inf",
    "-inf",
    "1e309",
    "1000000000000",
    "9" * 30,
    "1_0",
)
WORDS = (
    *(
        "null",
        "true",
        "none",
        "''",
        '""',
        '"1e-3"',
        "'1'",
        "é",
        "x" * 300,
        "a b",
        "../x",
        "/etc",
        ".",
        "~",
        "a/b",
    ),
    *(
        "${oc.env:HOME}",
        "${oc.env:NOSUCH}",
        "${steps}",
        "${nosuch}",
        "${dataset}",
        "${seed",
        "$",
        "\\",
        "'",
        "a=b",
    ),
    *(
        "[]",
        "{}",
        "[1,[2]]",
        "[[[[]]]]",
        "{a: 1}",
        "[null]",
        "[none]",
        "[none,none]",
        "{_target_: os.system}",
    ),
    *("1,2", "range(3)", "choice(1,2)", "glob(*)", "int(3.7)", "str(", "(", "]", "@", "\t", "%", "a@b", "="),
)
ODD_KEYS = (
    "nosuch",
    "dataset.nosuch",
    "hydra.run.dir",
    "hydra.verbose",
    "hydra.launcher.n_jobs",
    "hydra",
    "a.b.c",
)
QUICK = (
    ("dataset=digits",),
    ("dataset=modular_arithmetic", "dataset.modulus=7"),
    ("probe=[weight_norms,calibration]",),
)
PAPERS = tuple(entry.name for entry in experiments() if entry.name != "custom")


@cache
def names(group: str) -> list[str]:
    return [entry.name for entry in (*experiments(), *components()) if entry.group == group]


@cache
def keys(*base: str) -> list[str]:
    composed = compose_config([*base, "scale=smoke"])
    own = OmegaConf.masked_copy(
        composed, [key for key in composed if key not in ("hydra", "claims", "paper")]
    )
    return [*dotted_keys(OmegaConf.to_container(own, resolve=False)), *ODD_KEYS]


def settings_of(*base: str) -> st.SearchStrategy[str]:
    """A key of a config, given some value, or none."""
    prefix = st.sampled_from(("", "", "", "+", "++", "~"))
    value = st.sampled_from((*NUMBERS, *WORDS)) | st.text(max_size=8)
    words = st.builds("{}{}={}".format, prefix, st.sampled_from(keys(*base)), value)
    return words.filter(lambda word: word.split("=")[0].lstrip("+~") not in LONG)


def choices() -> st.SearchStrategy[str]:
    """A group, given some name, or none."""

    def of(group: str) -> st.SearchStrategy[str]:
        right = st.sampled_from(names(group))
        several = st.lists(right, max_size=2).map(lambda chosen: f"[{','.join(chosen)}]")
        wrong = st.sampled_from((*WORDS, *NUMBERS))
        return st.one_of(right, right, right, several, wrong).map(lambda name: f"{group}={name}")

    return st.sampled_from(("experiment", *COMPONENT_GROUPS)).flatmap(of)


def runs() -> st.SearchStrategy[list[str]]:
    """A run of parts that are picked by hand, or of an experiment."""

    def of(base: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
        words = st.lists(st.one_of(choices(), settings_of(*base), settings_of(*base)), min_size=1, max_size=3)
        return words.map(lambda more: [*FIXED, *base, *more])

    papers = st.sampled_from(PAPERS).map(lambda name: (f"experiment={name}",))
    return st.one_of(st.sampled_from(QUICK), papers).flatmap(of)


def verbs() -> st.SearchStrategy[list[str]]:
    """A verb with some words."""
    name = st.sampled_from(
        ("grokking", "maxsup", "nde", "losses", "grokkin", "", ".", "/", "digits", "model=mlp")
    )
    options = ("--scale=smoke", "--seeds=0", "--arms=x", "--help", "-x", "--config-dir=.", "-m")
    words = st.lists(st.one_of(choices(), settings_of(*QUICK[0])), max_size=2)
    verb = st.sampled_from(
        ("show", "reproduce", "verify", "report", "list", "lsit", "matrix", "doctor", "sync")
    )

    def command(verb: str, name: str, options: list[str], words: list[str]) -> list[str]:
        dry = ["--dry-run"] if verb in ("reproduce", "matrix") else []
        return [verb, name, *dry, *options, *words]

    return st.builds(command, verb, name, st.lists(st.sampled_from(options), max_size=2), words)


def commands() -> st.SearchStrategy[list[str]]:
    """What somebody may type."""
    return st.one_of(runs(), runs(), runs(), verbs())


class TooLongError(BaseException):
    """A case that computes something large."""


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise TooLongError

    earlier = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    except TooLongError:
        pass
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


def outcome(words: list[str]) -> tuple[int, str]:
    """The exit code, and what stands on the error output; in an empty folder, which must not be escaped."""
    from regrun.cli import main
    from regrun.runs.run import STOP

    STOP.asked = False
    here, folder = Path.cwd(), Path(tempfile.mkdtemp())
    os.chdir(folder)
    errors = io.StringIO()
    code = 0
    try:
        with at_most(SECONDS), contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            try:
                main(words)
            except SystemExit as exit_:
                code = int(exit_.code or 0)
        assert {path.name for path in folder.iterdir()} <= {"outputs"} or code == 0, list(folder.iterdir())
    finally:
        os.chdir(here)
        shutil.rmtree(folder)
    return code, errors.getvalue()


def test_whatever_is_typed(request: pytest.FixtureRequest) -> None:
    """300 commands; ``pytest tests/test_fuzz.py --cases 3000`` for more."""

    @settings(
        max_examples=request.config.getoption("--cases"),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
        report_multiple_bugs=True,
    )
    @given(words=commands())
    def check(words: list[str]) -> None:
        code, errors = outcome(words)
        assert code in allowed(words), f"{words}: exit code {code}: {errors[-2000:]}"
        assert code == 0 or len(errors.strip().splitlines()) <= 1, f"{words}: {errors[-2000:]}"

    check()


def allowed(words: list[str]) -> set[int]:
    """Exit codes: done, or something the user can mend; of a verb that judges, its judgement, too."""
    return {0, 2, 1, 3} if words[0] in ("list", "report", "verify", "doctor", "reproduce") else {0, 2}
