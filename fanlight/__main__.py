"""The program `fanlight`, and `python -m fanlight`."""

import sys

from fanlight import packages


def main(arguments: list[str] | None = None) -> int:
    """Put our packages first in `sys.path`, then run `fanlight.command.main`."""
    packages.put_first()
    from fanlight.command import main as command

    return command(arguments)


if __name__ == "__main__":
    sys.exit(main())
