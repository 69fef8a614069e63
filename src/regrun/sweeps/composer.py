"""Composes the configs of many runs, once for all that differ only in values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regrun.config.explaining import explain
from regrun.config.hydra_settings import HYDRA_VERSION_BASE, check_same, check_typed
from regrun.config.scales import scale_choices
from regrun.config.typed import config_folders
from regrun.paths import conf_dir

KEPT = 32  # cached configs; one is about a megabyte


class Composer:
    """Composes the configs of a sweep's runs.

    Choosing files takes Hydra most of the time, setting values little. Runs that choose the same files are
    copies of one config, with values set as Hydra would.

    Args:
        loader: Hydra's config loader.
        sweep: the sweep's own config.
    """

    def __init__(self, loader: ConfigLoader, sweep: DictConfig) -> None:
        self.loader = loader
        self.sweep = sweep
        self.parser = OverridesParser.create(loader)
        self._chosen = lru_cache(KEPT)(self._compose)
        self._node: Any = OmegaConf.to_container(sweep.hydra, resolve=False)
        self._options = cache(loader.get_group_options)  # which looks at folders

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """The config of a run.

        Raises:
            UserError: in plain words.
        """
        try:
            chosen = scale_choices(overrides, config_folders(self.sweep))
            parsed = self.parser.parse_overrides([*overrides, *chosen])
            values = [override for override in parsed if self._gives_value(override)]
            files = (override for override in parsed if override not in values)
            config = self._chosen(tuple(str(override.input_line) for override in files)).copy()
            ConfigLoaderImpl._apply_overrides_to_config(values, config)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, overrides) from error
        words = config.hydra.job.config.override_dirname
        config.hydra.overrides.task = [o.input_line for o in parsed if not o.is_hydra_override()]
        config.hydra.job.override_dirname = get_overrides_dirname(
            [override for override in parsed if not override.is_hydra_override()],
            kv_sep=words.kv_sep,
            item_sep=words.item_sep,
            exclude_keys=words.exclude_keys,
        )
        return config

    def _compose(self, overrides: tuple[str, ...]) -> DictConfig:
        check_typed(overrides, allowed=())
        config = self.loader.load_sweep_config(self.sweep, list(overrides))
        check_same(config, self._node)
        return config

    def _gives_value(self, override: Override) -> bool:
        plain = override.type is OverrideType.CHANGE and override.package is None
        key = override.key_or_group
        return plain and not override.is_hydra_override() and not self._options(key)


@contextmanager
def composer_like(composed: DictConfig) -> Iterator[Composer]:
    """A composer for configs like one composed outside a sweep, with the same search path."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base=HYDRA_VERSION_BASE):
        yield Composer(GlobalHydra.instance().config_loader(), composed)
