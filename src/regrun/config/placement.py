"""Type checks of a config against the annotations of the parameters it fills, before anything is built."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from regrun.config.whitelist import check_definition, is_from, parameters_of, users_packages
from regrun.errors import UserError, nearest

ANYTHING = Any  # the type of a parameter without an annotation


def check_components(config: Any, wanted: Any, key: str = "") -> None:
    """Check that every component and value in a config has the type that its place asks for.

    A place's type is the annotation of the parameter that it fills: a dataset, an optimizer, a mapping of
    probes, a number. A class must be a subclass; a function must be annotated to return the type. Imports the
    named modules, which are all trusted, and calls nothing.

    Args:
        config: plain dictionaries, lists and values.
        wanted: the expected type, or an alias such as ``Mapping[str, Probe]``.
        key: dotted key of the config, for messages.

    Raises:
        UserError: for the first mismatch, with the expected type.
    """
    if isinstance(config, Mapping) and "_target_" in config:
        found = check_definition(f"{key}._target_", str(config["_target_"]))
        if not is_component(found, wanted, bool(config.get("_partial_"))):
            raise UserError(f"{key}: {config['_target_']} is not {in_words(wanted)}")
        _check_parameters(found, config, key)
        return
    for option in options(wanted):
        if option in (Any, object):
            _check_parts(config, ANYTHING, key)
            return
        if isinstance(config, Mapping) and (get_origin(option) or option) in (dict, Mapping):
            _check_parts(config, [*get_args(option), ANYTHING, ANYTHING][1], key)
            return
        if isinstance(config, list) and (each := element(option, len(config))) is not None:
            for k, part in enumerate(config):
                check_components(part, each[k], f"{key}[{k}]")
            return
        if is_value(config, option):
            return
    raise UserError(f"{key}: expected {in_words(wanted)}, got {in_brief(config)}")


def _check_parts(config: Any, wanted: Any, key: str) -> None:
    if isinstance(config, Mapping):
        for name, part in config.items():
            check_components(part, wanted, f"{key}.{name}")
    elif isinstance(config, list):
        for k, part in enumerate(config):
            check_components(part, wanted, f"{key}[{k}]")
    elif isinstance(config, float) and math.isnan(config):
        raise UserError(f"{key}: expected a number, got nan")


def _check_parameters(found: Any, config: Mapping[str, Any], key: str) -> None:
    parameters = parameters_of(found)
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    hints = type_hints(found)
    for name, value in config.items():
        if name in ("_target_", "_partial_"):
            continue
        if name not in named and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            hint = nearest(str(name), named)
            raise UserError(f"{key}: {found.__name__} has no parameter {name!r}{hint}")
        check_components(value, hints.get(name, ANYTHING), f"{key}.{name}")
    if not config.get("_partial_"):
        for name, parameter in named.items():
            if parameter.default is parameter.empty and name not in config:
                raise UserError(f"{key}: {found.__name__} needs {name!r}, which is not given")


def is_component(found: Any, wanted: Any, partial: bool) -> bool:
    """Whether calling a class or function gives what a place asks for.

    Args:
        found: the object that a config names.
        wanted: the expected type.
        partial: whether the place takes the callable with some parameters bound, not its result.
    """
    if inspect.isfunction(found):
        if is_from(found, "torch"):
            return False  # a module of functions that compute, not make components
        made = type_hints(found).get("return", ANYTHING)
    elif inspect.isclass(found):
        made = found
    else:
        return False
    for option in options(wanted):
        calls = get_origin(option) is Callable
        if calls and partial:
            if gives(made, get_args(option)[1]):
                return True
        elif (option in (Any, object) or not partial) and gives(made, option):
            return True
    return False


def gives(made: Any, wanted: Any) -> bool:
    """Whether a value annotated ``made`` is acceptable as ``wanted``."""
    if made is ANYTHING:
        return False  # an unannotated function
    wishes = options(wanted)
    return all(any(_gives(offer, wish) for wish in wishes) for offer in options(made))


def _gives(made: Any, wanted: Any) -> bool:
    if made == wanted:
        return True
    if not inspect.isclass(made):
        return get_origin(made) is not None and get_origin(made) is get_origin(wanted)
    if get_origin(wanted) is Callable:
        call = method(made, "forward") or method(made, "__call__")  # for a module, its forward
        return inspect.isfunction(call) and gives(
            type_hints(call).get("return", ANYTHING), get_args(wanted)[1]
        )
    if wanted in (Any, object):
        return is_users(made) or is_known(made)
    if getattr(wanted, "_is_protocol", False):
        return is_procedure(made) if "__call__" in vars(wanted) else follows(made, wanted)
    return inspect.isclass(wanted) and get_origin(wanted) is None and issubclass(made, wanted)


def is_known(made: type) -> bool:
    """Whether a class is one of the kinds that regrun's own parts are made of."""
    from torch import nn
    from torch.optim import Optimizer

    from regrun.data.base import Dataset

    return issubclass(made, nn.Module | Optimizer | Dataset) or is_procedure(made)


def is_users(made: type) -> bool:
    """Whether a class is from a package that the user has named."""
    return any(is_from(made, package) for package in users_packages())


def is_procedure(made: type) -> bool:
    """Whether instances of a class are called with a ``Context``."""
    call = method(made, "__call__")
    return inspect.isfunction(call) and [*inspect.signature(call).parameters] == ["self", "context"]


def method(made: type, name: str) -> Any:
    """The attribute that a class or its nearest base defines, ignoring its metaclass."""
    return next((vars(base)[name] for base in made.__mro__ if name in vars(base)), None)


def follows(made: type, protocol: type) -> bool:
    """Whether a class has every public method of a protocol."""
    return all(callable(getattr(made, name, None)) for name in vars(protocol) if not name.startswith("_"))


def options(wanted: Any) -> tuple[Any, ...]:
    """The members of a union; for any other type, the type itself."""
    return get_args(wanted) if isinstance(wanted, UnionType) or get_origin(wanted) is Union else (wanted,)


def element(wanted: Any, length: int) -> Sequence[Any] | None:
    """The expected type of each element of a list; ``None`` if no list of this length is expected."""
    home, parts = get_origin(wanted) or wanted, get_args(wanted)
    if home is tuple and parts and parts[-1] is not Ellipsis:
        return parts if len(parts) == length else None
    if home in (list, tuple, Sequence) or (inspect.isclass(home) and issubclass(Sequence, home)):
        return [parts[0] if parts else ANYTHING] * length
    return None


def is_value(value: Any, wanted: Any) -> bool:
    """Whether a number, a word or null has the expected type."""
    if get_origin(wanted) is Literal:
        return value in get_args(wanted)
    if wanted in (NoneType, None):
        return value is None
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return wanted in (str, bool) and isinstance(value, wanted)


def type_hints(found: Any) -> dict[str, Any]:
    """The annotations of a callable's parameters, as far as they resolve."""
    try:
        return get_type_hints(getattr(found, "__init__") if isinstance(found, type) else found)  # noqa: B009
    except (NameError, TypeError, AttributeError):
        return {}


def in_words(wanted: Any) -> str:
    """The expected type for a message: ``int | null``, ``a Dataset``, ``several of: a Probe``."""
    return " | ".join(_in_words(option) for option in options(wanted))


def _in_words(wanted: Any) -> str:
    if wanted in (NoneType, None):
        return "null"
    if wanted in (int, float, bool, str):
        return str(wanted.__name__)
    if get_origin(wanted) is Literal:
        return " | ".join(map(str, get_args(wanted)))
    if get_origin(wanted) is Callable:
        return f"what makes {in_words(get_args(wanted)[1])}"
    if get_origin(wanted) in (dict, Mapping):
        return f"by name, {in_words(get_args(wanted)[1])}"
    if get_args(wanted):
        return f"a list of {in_words(get_args(wanted)[0])}"
    if wanted in (Any, object):
        return "a component"
    name = getattr(wanted, "__name__", str(wanted))
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"


def in_brief(value: Any) -> str:
    """A config's value, shortened to fit a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
