"""The order of `sys.path`: our packages go before files of the user that have the same names.

Otherwise `models.py` or `training/` in a folder of PYTHONPATH, or in the working folder under
`python -m`, would be imported instead of ours. Processes that are started later inherit `sys.path`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("fanlight", "models", "service", "training")


def put_first() -> None:
    """Move the folders of `sys.path` that have one of our names behind ours.

    Ours does not move forward: it may be site-packages, which must not come before the standard
    library.
    """
    ours = next((n for n, entry in enumerate(sys.path) if _folder(entry) == ROOT), len(sys.path))
    others = [entry for entry in sys.path[:ours] if _has_our_names(_folder(entry))]
    if others:
        before = [entry for entry in sys.path[:ours] if entry not in others]
        sys.path[:] = [*before, str(ROOT), *others, *sys.path[ours + 1 :]]


def _folder(entry: str) -> Path:
    return Path(entry or ".").resolve()


def _has_our_names(folder: Path) -> bool:
    return any((folder / name).is_dir() or (folder / f"{name}.py").is_file() for name in NAMES)
