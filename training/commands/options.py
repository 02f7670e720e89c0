"""Options that several commands take."""

import os
from pathlib import Path


def data_root() -> Path:
    """The folder named by FANLIGHT_DATA, otherwise ./data."""
    return Path(os.environ.get("FANLIGHT_DATA", "data"))


def repository() -> Path:
    """The folder named by FANLIGHT_REPOSITORY, otherwise ./checkpoints."""
    return Path(os.environ.get("FANLIGHT_REPOSITORY", "checkpoints"))
