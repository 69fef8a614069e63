"""A Hydra config source that reads a paper's single file as several configs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf, open_dict

from regrun.config.paper_file import SECTIONS, find_section, sections_of
from regrun.config.scales import hydra_config

PACKAGES = {"scales": "_global_", "procedures": "procedure"}


class FileConfigSource(file_config_source.FileConfigSource):
    """A folder of configs in which ``experiment/<slug>.yaml`` also provides its scales and procedures.

    Only the requested file is read. The class keeps the name of Hydra's class that it replaces.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """The config with this name."""
        if section := find_section(Path(self.path), config_path):
            return ConfigResult(
                config=OmegaConf.create(hydra_config(section)),
                path=f"{self.scheme()}://{self.path}",
                provider=self.provider,
                header={"package": PACKAGES[section.kind]},
            )
        result = super().load_config(config_path)
        if config_path.startswith("experiment/") and isinstance(result.config, DictConfig):
            result.header["package"] = result.header.get("package") or "_global_"
            with open_dict(result.config):
                for name in SECTIONS:
                    result.config.pop(name, None)
        return result

    def is_config(self, config_path: str) -> bool:
        """Whether a config with this name exists."""
        return super().is_config(config_path) or find_section(Path(self.path), config_path) is not None

    def is_group(self, config_path: str) -> bool:
        """Whether configs exist below this name."""
        return super().is_group(config_path) or bool(self._procedures(config_path))

    def _procedures(self, config_path: str) -> Sequence[str]:
        group, _, experiment = config_path.partition("/")
        file = Path(self.path, "experiment", f"{experiment}.yaml")
        return [*sections_of(file, "procedures")] if group == "procedure" and file.is_file() else []

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The names below a group."""
        listed = super().list(config_path, results_filter) if super().is_group(config_path) else []
        own = self._procedures(config_path) if results_filter is not ObjectType.GROUP else []
        return sorted({*listed, *own})


def register_source() -> None:
    """Make Hydra read every config folder through this source."""
    Plugins.instance()  # registers Hydra's own sources
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
