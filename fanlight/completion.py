"""`fanlight completion SHELL`: the script that teaches a shell to complete our commands."""

import click
from click.shell_completion import get_completion_class

from fanlight.parameters import Argument, Command, Example, OneOf

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = (
    Example("echo 'eval \"$(fanlight completion bash)\"' >> ~/.bashrc", "switch it on in bash"),
    Example("echo 'eval \"$(fanlight completion zsh)\"' >> ~/.zshrc", "in zsh, after compinit"),
    Example("fanlight completion fish > ~/.config/fish/completions/fanlight.fish", "in fish"),
)


def command() -> click.Command:
    return Command(
        "completion",
        callback=_print,
        help="Print the script that completes commands, options and recipes in a shell.",
        params=[
            Argument(
                "shell", "One of bash, zsh and fish.", type=OneOf("shell", SHELLS), metavar="SHELL"
            )
        ],
        examples=EXAMPLES,
    )


@click.pass_context
def _print(ctx: click.Context, /, shell: str) -> int:
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101
    click.echo(found(ctx.find_root().command, {}, "fanlight", "_FANLIGHT_COMPLETE").source())
    return 0
