"""`fanlight ray serve`: options and variables → settings and a scale → the service on Ray."""

from importlib.util import find_spec
from types import UnionType
from typing import Any, get_args

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from fanlight import errors, serve
from fanlight.fields import given
from fanlight.parameters import NUMBER, WHOLE_NUMBER, Command, Example, Group, OneOf, Option
from models import faults
from service import launch
from service.ray import cluster
from service.ray.scale import WITHOUT_USE, Scale
from service.setting_values.environment import PREFIX
from service.settings import GROUPS, Settings

_ADDRESS = "RAY_ADDRESS"
_REPLICAS = "Replicas"
_HELP = """Serve the checkpoints of a model repository on a Ray cluster.

Without --address, a cluster starts on this machine, and ends with the command. With it, the
application is deployed to that cluster, or updated there: new replicas are ready before old ones
end, and the command ends once they are. 'serve status' shows the application, and 'serve shutdown'
ends it. All nodes must see the repository at the same path, and have Fanlight installed.

Each replica runs Fanlight's own HTTP protocol on a port of its own, behind Ray's HAProxy.
"""
EXAMPLES = (
    Example("fanlight ray serve --replicas 2", "a cluster on this machine, port 8000"),
    Example("fanlight ray serve --replicas 1 --max-replicas 8", "as many as there is work for"),
    Example("fanlight ray serve --address auto --repository /shared/models --replicas 4"),
    Example("fanlight ray serve --gpus 0.5 --replicas 2", "two replicas share a GPU"),
    Example("serve run deploy.ray:app replicas=2", "the same, in a clone, with Ray's command"),
)


def command() -> click.Command:
    group = Group("ray", help="Run Fanlight on a Ray cluster.", examples=EXAMPLES[:2])
    group.add_command(_serve_command())
    return group


def _serve_command() -> click.Command:
    settings = Settings.model_fields
    grouped = [(group, name) for group, names in GROUPS.items() for name in names]
    return Command(
        "serve",
        callback=_serve,
        help=_HELP,
        params=[
            *(_option(name, field) for name, field in Scale.model_fields.items()),
            Option(
                ["--address"],
                metavar="ADDRESS",
                envvar=_ADDRESS,
                help="Ray cluster to deploy to, auto for the one of this machine",
                shown="a cluster of its own",
                variable=_ADDRESS,
                group="Cluster",
            ),
            Option(
                ["--proxy"],
                type=OneOf("proxy", get_args(cluster.Proxy)),
                help="what listens in front of the replicas of a cluster of its own: ray is "
                "Ray's proxy in Python, which is many times slower",
                shown=cluster.usual_proxy(),
                group="Cluster",
            ),
            *(
                serve.option(name, settings[name], group)
                for group, name in grouped
                if name not in WITHOUT_USE
            ),
        ],
        examples=EXAMPLES,
    )


def _option(name: str, field: FieldInfo) -> Option:
    """Make the option of a field of `Scale`."""
    about, _, elsewhere = (field.description or "").partition("; default: ")
    hint: Any = field.annotation
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return Option(
        ["--" + name.replace("_", "-"), name],
        type=WHOLE_NUMBER if int in kinds else NUMBER,
        metavar="N",
        help=about,
        shown=elsewhere or f"{field.default:g}",
        group=_REPLICAS,
    )


@click.pass_context
def _serve(ctx: click.Context, /, address: str | None, proxy: Any, **values: Any) -> int:
    options = given(ctx)
    scale = _scale(ctx, {name: options[name] for name in options if name in Scale.model_fields})
    settings = serve.chosen(
        ctx, {name: options[name] for name in options if name in Settings.model_fields}
    )
    _check(ctx, settings)
    if address and proxy:
        raise click.UsageError(
            "--proxy is for a cluster of its own; one that runs has its proxies, "
            "see RAY_SERVE_ENABLE_HA_PROXY in docs/ray.md",
            ctx,
        )
    if find_spec("ray") is None:
        raise click.UsageError(
            "fanlight ray serve needs ray, which is not installed; pip install 'fanlight[ray]'", ctx
        )
    with errors.printed():
        if address:
            cluster.deploy(settings, scale, address)
        else:
            if reason := launch.refusal(settings):
                raise click.ClickException(reason)
            cluster.serve_here(settings, scale, proxy or cluster.usual_proxy())
    return 0


def _scale(ctx: click.Context, options: dict[str, Any]) -> Scale:
    try:
        return Scale(**options)
    except ValidationError as error:
        lines = (
            f"--{'.'.join(map(str, each['loc'])).replace('_', '-')}: " * bool(each["loc"])
            + faults.reason(each)
            + f", not {each['input']!r}" * bool(each["loc"])
            for each in error.errors()
        )
        raise click.UsageError("\n".join(lines), ctx) from None


def _check(ctx: click.Context, settings: Settings) -> None:
    """Raise `click.UsageError` if a variable sets what has no use on Ray."""
    fields = Settings.model_fields
    unused = [name for name in WITHOUT_USE if getattr(settings, name) != fields[name].default]
    if unused:
        names = ", ".join(f"{PREFIX}{name.upper()}" for name in unused)
        raise click.UsageError(
            f"{names}: not on Ray, whose proxies listen without TLS, and which starts the "
            f"processes; unset the variable, and see docs/ray.md",
            ctx,
        )
    if settings.port == 0:
        raise click.UsageError("--port: Ray takes no port 0; name a free port", ctx)
