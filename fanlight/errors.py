"""Errors that a user can mend → what click prints of them, and the exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from models.errors import OptionError
from models.errors import message as error_message


@contextmanager
def printed() -> Iterator[None]:
    """Raise `click.UsageError` for a wrong option, `click.ClickException` for what else is known.

    The first also names the help. Other errors are bugs, and keep their traceback.
    """
    try:
        yield
    except click.ClickException:
        raise
    except Exception as error:
        text = error_message(error)
        if text is None:
            raise
        kind = click.UsageError if isinstance(error, OptionError) else click.ClickException
        raise kind(text) from None
