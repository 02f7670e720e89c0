"""`fanlight key`: makes an API key, and adds it to the file that the service reads."""

from pathlib import Path

import click

from fanlight import errors
from fanlight.parameters import Argument, Command, Example, NonEmptyPath, Option
from service.access import api_keys
from service.setting_values.environment import PREFIX

EXAMPLES = (
    Example("fanlight key alice --api-key-file keys.txt", "prints the key, and keeps its hash"),
    Example("fanlight serve --api-key-file keys.txt", "asks for one of these keys"),
    Example("fanlight key alice", "prints the key; its line for the file goes to stderr"),
)
_HELP = """Make an API key for the service.

The key is printed once, on stdout. The file keeps only its SHA-256. A running service reads the
file again within seconds. To withdraw a key, remove its line. A name may have several keys, so that
a new one can replace an old one without a gap. A key of your own has the line
'NAME sha256:HEX', where HEX is what sha256sum prints for it.
"""


def command() -> click.Command:
    return Command(
        "key",
        callback=_key,
        help=_HELP,
        params=[
            Argument("name", "whose key it is; the log names it"),
            Option(
                ["--api-key-file", "path"],
                type=NonEmptyPath(),
                metavar="FILE",
                envvar=f"{PREFIX}API_KEY_FILE",
                help="file to add the key to; made where there is none",
                variable=f"{PREFIX}API_KEY_FILE",
            ),
        ],
        examples=EXAMPLES,
    )


def _key(name: str, path: Path | None) -> int:
    key = api_keys.new()
    with errors.printed():
        if path is None:
            click.echo(f"add to the file of keys: {api_keys.line(name, key)}", err=True)
        else:
            names = api_keys.add(path, name, key)
            number = list(names.values()).count(name)
            note = f"; {name} has {number} keys, remove the line of the old one" * (number > 1)
            click.echo(f"added to {path}{note}", err=True)
    click.echo(key)
    return 0
