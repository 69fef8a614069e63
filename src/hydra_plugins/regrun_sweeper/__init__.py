"""regrun's sweeper, where Hydra looks for plugins."""

from __future__ import annotations

import itertools
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser


class RegrunSweeper(BasicSweeper):
    """Hydra's basic sweeper, except that a sweep survives failures and skips what is complete."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the product of all sweeps on the command line, less what is complete."""
        from regrun.sweep import run_sweep

        assert self.config is not None
        assert self.launcher is not None
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        overrides = OverridesParser.create(loader).parse_overrides([*self._parse_config(), *arguments])
        jobs = itertools.chain.from_iterable(self.split_arguments(overrides, None))
        return run_sweep(list(jobs), self.config, loader, self.launcher)
