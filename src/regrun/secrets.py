"""Keys and passwords, which must not land in a record."""

from __future__ import annotations

import os
import re
from typing import Any

from regrun.errors import UserError

SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL")
SHORTEST = 8  # shorter values would be found by chance


def check_secrets(config: Any) -> None:
    """Check that a config holds none of the environment's secrets, as by ``${oc.env:WANDB_API_KEY}``.

    Raises:
        UserError: names the environment variable.
    """
    text = str(config)
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and SECRET_NAMES.search(name.upper()) and value in text:
            raise UserError(f"the config holds the content of {name}, which must not land in a record")
