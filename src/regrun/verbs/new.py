"""``regrun new``: writes the skeleton of a paper's reproduction, whose smoke run passes at once."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from regrun.config.catalogue import names
from regrun.console import OUT
from regrun.errors import UserError
from regrun.records.files import write_atomically
from regrun.verbs.options import Options

SKELETON = Path(__file__).parent / "skeleton"
LONGEST = 60
NEXT = """
try it        export REGRUN_TRUST={slug}
              python -m pytest test_{slug}.py
one run       regrun --config-dir conf experiment={slug} regularizer={slug}
the verdict   regrun reproduce {slug} --config-dir conf

Write the claims before you run them, and the method in {slug}.py."""


def run(words: Sequence[str]) -> int:
    """Write the skeleton; nothing where a file of it exists."""
    parser = Options(
        "regrun new",
        description="Write the skeleton of a paper's reproduction into the current folder: an experiment "
        "with two arms, a claim and its scales; a method of a few lines; a test that passes.",
    )
    parser.add_argument("slug", help="the paper's name here: small letters, digits and _")
    slug = check_slug(parser.parse_args(words).slug)
    files = {
        Path(f"{slug}.py"): "method.py.txt",
        Path("conf", "experiment", f"{slug}.yaml"): "experiment.yaml",
        Path("conf", "regularizer", f"{slug}.yaml"): "regularizer.yaml",
        Path(f"test_{slug}.py"): "test.py.txt",
    }
    if there := [str(file) for file in files if file.exists() or file.is_symlink()]:
        raise UserError(f"{', '.join(there)}: already there, and nothing was written")
    for file, template in files.items():
        text = (SKELETON / template).read_text(encoding="utf-8")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, text.replace("SLUG", slug).replace("CLASS", class_name(slug)))
        except OSError as error:
            raise UserError(f"{file} cannot be written: {error.strerror}") from error
        OUT.print(Text(str(file)), soft_wrap=True)
    OUT.print(Text(NEXT.format(slug=slug)), soft_wrap=True)
    return 0


def check_slug(slug: str) -> str:
    """The name, if it can be one of a Python module and of an experiment that regrun does not have.

    Raises:
        UserError: says why it cannot.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", slug) or len(slug) > LONGEST or keyword.iskeyword(slug):
        raise UserError(
            f"{slug!r} cannot be a paper's name: expected at most {LONGEST} small letters, digits and _, "
            "beginning with a letter, such as soft_orthogonality"
        )
    for group in ("experiment", "regularizer"):
        if slug in names(group):
            raise UserError(f"regrun has the {group} {slug}: choose another name")
    return slug


def class_name(slug: str) -> str:
    """``SoftOrthogonality`` for ``soft_orthogonality``."""
    return "".join(word.capitalize() for word in slug.split("_"))
