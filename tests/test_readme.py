from __future__ import annotations

import re
import shlex

import pytest

from conftest import CHECKOUT
from regrun.config.catalogue import find
from regrun.config.checking import check_command
from regrun.config.composing import compose_config, first_job, plain_config
from regrun.config.whitelist import read_trust
from regrun.matrix.config import load_table
from regrun.reproduction.experiment import load_experiment
from regrun.verbs.listing import run as list_things
from regrun.verbs.new import check_slug
from regrun.verbs.reproduce import parser, take_scale

TEXTS = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"]
COMMANDS = [
    (text.name, line.split("  #")[0].strip())
    for text in TEXTS
    for line in text.read_text().splitlines()
    if line.startswith("regrun ")
]


@pytest.mark.parametrize(("text", "command"), COMMANDS, ids=lambda value: value)
def test_every_command_in_the_documents_is_right(
    text: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(re.sub(r"    .*", "", command))[1:]
    monkeypatch.chdir(CHECKOUT / "tests" / "own_paper")
    monkeypatch.setenv("REGRUN_TRUST", "orthogonality_paper")
    read_trust()
    if words[0] == "list":
        assert list_things(["grokking"]) == 0
    elif words[0] == "show":
        name = words[-1]
        assert name == "outputs/..." or name == "soft_orthogonality" or find(name)
    elif words[0] == "reproduce":
        options = parser().parse_intermixed_args(words[1:])
        take_scale(options)
        assert load_experiment(options.name, options.scale, options.overrides, options.config_dir).claims
    elif words[0] == "matrix":
        assert load_table(words[1])
    elif words[0] == "verify":
        assert words[1] == "--all" or find(words[1]).group == "experiment"
    elif words[0] == "new":
        assert check_slug(words[1]) == words[1]
    elif words[0] not in ("doctor", "report"):
        multirun = "-m" in words
        folder = words[words.index("--config-dir") + 1] if "--config-dir" in words else None
        overrides = [word for word in words if "=" in word]
        check_command(overrides, folder, multirun)
        assert plain_config(compose_config(first_job(overrides), folder))["procedure"]


def test_the_guides_example_composes_at_every_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT / "tests" / "own_paper")
    monkeypatch.setenv("REGRUN_TRUST", "orthogonality_paper")
    read_trust()
    steps = {
        scale: {
            arm.config["steps"]
            for arm in load_experiment("soft_orthogonality", scale, [], "conf").planned.values()
        }
        for scale in ("smoke", "small", "paper")
    }
    assert steps == {"smoke": {4}, "small": {200}, "paper": {78200}}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_every_example_in_python_runs(text: object) -> None:
    for block in re.findall(r"```python\n(.*?)```", text.read_text(), flags=re.DOTALL):  # type: ignore[attr-defined]
        exec(compile(block, "README", "exec"), {})


def test_the_contributing_guide_quotes_the_example_as_it_is() -> None:
    guide = (CHECKOUT / "CONTRIBUTING.md").read_text()
    sources = [f.read_text() for f in (CHECKOUT / "tests" / "own_paper" / "conf").rglob("*.yaml")]
    blocks = re.findall(r"```yaml\n(.*?)```", guide, flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        assert any(block in source for source in sources), block
