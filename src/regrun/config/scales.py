"""The scales of an experiment: its settings for a run of seconds, or for the authors' setting."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from regrun.config.arms import check_words, group_of, key_of
from regrun.config.catalogue import COMPONENT_GROUPS, SEVERAL, parents
from regrun.config.hydra_settings import parse_overrides
from regrun.config.paper_file import SECTIONS, Section, find_section, load, sections_of
from regrun.errors import UserError, nearest
from regrun.paths import conf_dir

KEYS = ("like", "base", "last", "arms", "claims", "report", "paper")


@dataclass(frozen=True)
class Scale:
    """The settings of an experiment at a scale.

    Attributes:
        like: the experiment whose scale of the same name this one extends, if any.
        choices: the option chosen of each group; an arm or the command line may override it.
        content: the other settings, as a config.
        last: the overrides that take precedence over an arm.
    """

    like: str | None = None
    choices: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, Any] = field(default_factory=dict)
    last: Sequence[str] = ()


def read_config(folder: Path, name: str) -> dict[str, Any] | None:
    """A config as regrun reads it; ``None`` if the folder has none of this name.

    A scale's choices appear in its ``defaults``, as an experiment's do.
    """
    section = find_section(folder, name)
    if section is None:
        file = folder / f"{name}.yaml"
        if not file.is_file():
            return None
        return {key: value for key, value in load(file).items() if key not in SECTIONS}
    if section.kind == "procedures":
        return dict(sections_of(section.file, section.kind)[section.name])
    defaults = [{f"override /{key}": name} for key, name in choices_of(section).items()]
    return {"defaults": defaults, **content_of(section)}


def find_config(folders: Sequence[Path], name: str) -> dict[str, Any] | None:
    """A config's content from the first folder that has it."""
    found = (read_config(folder, name) for folder in folders)
    return next((content for content in found if content is not None), None)


def lineage(folders: Sequence[Path], experiment: str) -> list[dict[str, Any]]:
    """An experiment's file, after those of its parents."""
    content = find_config(folders, f"experiment/{experiment}") or {}
    return [found for parent in parents(content) for found in lineage(folders, parent)] + [content]


def hydra_config(section: Section) -> dict[str, Any]:
    """A section as Hydra reads it: a config chosen by interpolation cannot choose options itself."""
    if section.kind == "procedures":
        return dict(sections_of(section.file, section.kind)[section.name])
    scale = read_scale(section)
    content = dict(scale.content)
    if scale.like is not None:
        content["defaults"] = [f"{scale.like}-{section.name}", "_self_"]
    if last := last_words(section):
        content["arms"] = {name: with_last(arm, last) for name, arm in arms_at(section).items()}
    return content


def read_scale(section: Section) -> Scale:
    """Parse a scale.

    It is a list of overrides or a mapping. ``base`` is such a list, which an arm may override. ``last`` holds
    overrides that take precedence over an arm. ``arms``, ``claims``, ``report`` and ``paper`` extend or
    replace the experiment's own. ``like`` names an experiment whose scale this one extends.

    Raises:
        UserError: for an unknown key or a wrong type.
    """
    stat = section.file.stat()
    return _read_scale(section, stat.st_mtime_ns, stat.st_size)


@lru_cache(64)  # a run's config asks for its scale a dozen times
def _read_scale(section: Section, changed: int, size: int) -> Scale:
    node = sections_of(section.file, section.kind)[section.name]
    where = f"{section.file}: scales.{section.name}"
    if isinstance(node, list):
        node = {"base": node}
    if not isinstance(node, Mapping):
        raise UserError(f"{where}: expected a list of overrides, or {', '.join(KEYS)}, got {node!r}")
    for key in node:
        if key not in KEYS:
            raise UserError(f"{where}: unknown key {key!r}{nearest(str(key), KEYS)}")
    for key in ("base", "last"):
        check_words(f"{where}.{key}", node.get(key) or [])
    choices: dict[str, Any] = {}
    content = {key: node[key] for key in ("arms", "claims", "report", "paper") if key in node}
    last = tuple(node.get("last") or ())
    for override in parse_overrides([*(node.get("base") or []), *last]):
        key, value = override.key_or_group, override.value()
        if override.is_delete() or override.package or override.is_sweep_override():
            raise UserError(f"{where}: {override.input_line}: expected key=value or group=name")
        if key in COMPONENT_GROUPS:
            choices[key] = value
        elif not put(content, key, value):
            raise UserError(f"{where}: {override.input_line}: a part of {key} has a value already")
    return Scale(node.get("like"), choices, content, last)


def put(content: Any, key: str, value: Any) -> bool:
    """Set the value of a dotted key; returns whether what stands above it is a mapping."""
    *above, name = key.split(".")
    for word in above:
        content = content.setdefault(word, {})
        if not isinstance(content, dict):
            return False
    content[name] = value
    return True


def before(section: Section) -> Section | None:
    """The section of the scale that this one extends."""
    like = read_scale(section).like
    if like is None:
        return None
    for folder in (section.folder, conf_dir()):
        if found := find_section(folder, f"scale_for/{like}-{section.name}"):
            return found
    raise UserError(f"{section.file}: scales.{section.name}.like: {like} has no scale {section.name}")


def last_words(section: Section) -> list[str]:
    """The overrides that take precedence over an arm."""
    earlier = before(section)
    return [*(last_words(earlier) if earlier else []), *read_scale(section).last]


def choices_of(section: Section) -> dict[str, Any]:
    """The options that a scale chooses, by group."""
    earlier = before(section)
    return (choices_of(earlier) if earlier else {}) | dict(read_scale(section).choices)


def content_of(section: Section) -> dict[str, Any]:
    """The settings of a scale, on top of those of the scale it extends."""
    earlier = before(section)
    merged = OmegaConf.merge(content_of(earlier) if earlier else {}, dict(read_scale(section).content))
    content: dict[str, Any] = OmegaConf.to_container(merged, resolve=False)  # type: ignore[assignment]
    return content


def arms_at(section: Section) -> dict[str, Any]:
    """An experiment's arms at a scale, before its ``last`` overrides are applied."""

    def at_scale(scale: Section) -> dict[str, Any]:
        earlier = before(scale)
        return (at_scale(earlier) if earlier else {}) | dict(read_scale(scale).content.get("arms") or {})

    arms: dict[str, Any] = {}
    for content in lineage((section.folder, conf_dir()), section.experiment):
        arms |= content.get("arms") or {}
    return arms | at_scale(section)


def with_last(arm: Any, last: Sequence[str]) -> Any:
    """An arm, or a family, with the scale's ``last`` overrides applied.

    An override is added only if the arm sets the same key or chooses the part it belongs to; elsewhere the
    scale's own value is not contested.
    """
    if isinstance(arm, Mapping):
        return {**arm, "overrides": with_last(arm.get("overrides"), last)}
    if not isinstance(arm, list):
        return arm  # read_arms reports the error
    own = {key_of(str(word)): str(word).partition("=")[2] for word in arm}
    added = {key_of(word): word for word in last if concerns(key_of(word), own)}
    return [*(word for word in arm if key_of(str(word)) not in added), *added.values()]


def concerns(key: str, own: Mapping[str, str]) -> bool:
    """Whether a key is among an arm's own, or belongs to a part that the arm chooses."""
    group, _, rest = key.partition(".")
    chosen = own.get(group, "") if rest else ""
    names = re.findall(r"\w+", chosen)
    return key in own or (rest.split(".")[0] in names if group in SEVERAL else chosen != "")


def scale_choices(words: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """The overrides by which a scale chooses options that the command line leaves open.

    Args:
        words: the overrides of one run, as typed.
        folders: config folders in search order.
    """
    typed = {key_of(word): word.partition("=")[2] for word in words}
    experiment, scale = typed.get("experiment"), typed.get("scale", "small")
    for folder in folders if experiment else ():
        if section := find_section(folder, f"scale_for/{experiment}-{scale}"):
            return [
                f"{group}={written(value)}"
                for group, value in choices_of(section).items()
                if group not in {group_of(key) for key in typed if "." not in key}
            ]
    return []


def written(value: Any) -> str:
    """A choice, formatted as typed."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
