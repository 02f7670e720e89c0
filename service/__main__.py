"""`python -m service` is `fanlight serve`."""

import sys

try:
    from fanlight.__main__ import main as command
except ImportError as error:
    if error.name not in ("fanlight", "fanlight.__main__"):
        raise
    import fanlight

    sys.exit(
        f"error: {fanlight.__file__ or fanlight.__path__} was imported instead of Fanlight's own "
        "package fanlight; rename it, or start in another folder"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run `fanlight serve`; return 0 after the server was stopped, 2 if it could not start."""
    return command(["serve", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
