"""Entry point of `python -m training`, the same command line as `fanlight`."""

import sys

try:
    from fanlight.__main__ import main
except ImportError as error:
    if error.name not in ("fanlight", "fanlight.__main__"):
        raise
    import fanlight

    sys.exit(
        f"error: {fanlight.__file__ or fanlight.__path__} was imported instead of Fanlight's own "
        "package fanlight; rename it, or start in another folder"
    )

if __name__ == "__main__":
    sys.exit(main())
