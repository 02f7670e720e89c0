"""What can be set: environment variables and options → `Settings`.

The option `--max-batch-size` of `fanlight serve` is the variable FANLIGHT_MAX_BATCH_SIZE; the
option wins.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from models import repository_paths
from models.permission import Permission
from models.repository_paths import SHIPPED as SHIPPED
from service.setting_values import units
from service.setting_values.environment import PREFIX, is_service_link
from service.setting_values.kinds import (
    AllowedOrigins,
    Bytes,
    Count,
    Folders,
    Modules,
    NonEmptyPath,
    Proxies,
    Seconds,
    Switch,
)

_runtimes = import_module("service.inference.runtimes.registry")  # by name: it is a floor above
if TYPE_CHECKING:
    RuntimeName = str
else:
    RuntimeName = Literal[_runtimes.choices()]


class _Environment(EnvSettingsSource):
    """Environment variables, except those that Kubernetes and Docker set as service links."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        if isinstance(value, str) and is_service_link(PREFIX + field_name, value):
            return None, key, is_complex
        return value, key, is_complex


OWN_PATHS = (
    *("v1", "v2", "docs", "static", "health", "metrics"),
    *("openapi.json", "openapi-3.0.json", "ping", "invocations", "predictions"),
)
"""The first segments of the service's own paths; `root_path` must not begin with one of them."""


class Settings(BaseSettings):
    """Serve the checkpoints of a model repository over HTTP.

    Each option can be given as an environment variable instead. The option wins. The API is
    described at /docs once the service runs.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
    )

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on")
    tls_certificate: NonEmptyPath | None = Field(
        None,
        description="PEM file of the certificate and its chain, for HTTPS; read again when it "
        "changes",
    )
    tls_key: NonEmptyPath | None = Field(
        None, description="PEM file of the certificate's private key, without a password"
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="port where /metrics is answered, and nothing else; default: the same port",
    )
    repository: Folders = Field(
        None,
        description="folder of <model>/<version>/, of one model's versions, or of one version; or "
        "an address such as s3://bucket/models; may be given several times: a model in an earlier "
        "one hides one of its name in a later one; default: ./checkpoints, then the models that "
        "Fanlight ships",
    )
    architectures: Modules = Field(
        (),
        description="modules of yours, as package.module, separated by commas: the code that may "
        "be imported for a version whose card names a network of theirs; default: none",
    )
    max_checkpoint_bytes: Bytes = Field(
        2**30, ge=1024, description="size of the weights of a version; larger ones are not loaded"
    )
    max_versions: Count = Field(
        1000, ge=1, description="versions that are served, of each model the highest first"
    )
    watch_interval: Seconds = Field(
        2.0,
        ge=0,
        le=3600,
        description="time between looks for new and removed versions; 0: only at the start",
    )
    device: str = Field("auto", description="where networks run: auto, cpu, cuda or cuda:n")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the forward pass; half precision pays on GPUs"
    )
    runtime: RuntimeName = Field("auto", description=_runtimes.describe())
    coverage: float | None = Field(
        None,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="part of familiar images whose right label is in the set of an answer, of "
        "models that are calibrated; default: that of the model's card, between 0.95 and 1",
    )
    familiarity_threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="familiarity below which an answer is unsure, of models that are calibrated; "
        "default: that of the model's card, usually 0.05",
    )
    graph_cache: NonEmptyPath | None = Field(
        None,
        description="folder of exported graphs, which make later starts quicker, and which may be "
        "emptied at any time; default: fanlight in the user's cache",
    )
    workers: int = Field(1, ge=1, le=256, description="processes, each with its own networks")
    shutdown_grace: Seconds = Field(
        12.0,
        ge=0,
        le=3600,
        description="time in which an ending service still takes requests, while /health/ready "
        "answers 503; Ctrl-C has none",
    )
    worker_timeout: Seconds = Field(
        10.0,
        ge=2,
        le=3600,
        description="time without a sign of life after which one of several workers is replaced",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="threads of a forward pass; default: the processors of this container, "
        "shared among the workers",
    )
    max_batch_size: Count = Field(64, ge=1, le=4096, description="images in one forward pass")
    max_batch_delay: Seconds = Field(
        0.0, ge=0, le=10, description="time that an image may wait for others to fill its batch"
    )
    max_queue_size: Count = Field(
        1024, ge=1, description="images that may wait for one network, before 429"
    )
    max_queue_wait: Seconds = Field(
        5.0,
        gt=0,
        le=3600,
        description="time that the images before a new one may take, in the queue of a network or "
        "while they are decoded, before 429",
    )
    request_timeout: Seconds = Field(
        30.0, gt=0, le=3600, description="time to receive a request, and again to answer it"
    )
    progress_timeout: Seconds = Field(
        300.0,
        gt=0,
        le=86400,
        description="time to answer a request that asks how far the work is (application/x-ndjson)",
    )
    max_images: Count = Field(128, ge=1, description="images in one request")
    max_body_bytes: Bytes = Field(32 * 2**20, ge=1024, description="size of the body of a request")
    max_held_bytes: Bytes = Field(
        256 * 2**20, ge=1024, description="size of all bodies held at once, before 429"
    )
    max_image_pixels: Count = Field(
        25_000_000,
        ge=1,
        le=178_000_000,
        description="width times height of an image as it is decoded; a baseline JPEG that is far "
        "larger than the network's input is decoded at a half, a quarter or an eighth",
    )
    max_decode_time: Seconds = Field(
        0.25,
        ge=0.02,
        le=60,
        description="processor time to decode one image; a HEIC gets four times as much, and a "
        "file above 10 MB as much for each 10 MB",
    )
    max_feature_values: Count = Field(
        2**24,
        ge=1024,
        le=2**28,
        description="activations in the answer to one request, four bytes each",
    )
    max_connections: Count | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="connections of a process, before 503; default: 4,096, or what the limit of "
        "open files leaves",
    )
    head_timeout: Seconds = Field(
        10.0, gt=0, le=3600, description="time to receive the head of a request, before 408"
    )
    idle_timeout: Seconds = Field(
        75.0,
        gt=0,
        le=86_400,
        description="time that a connection may stay open without a request; longer than clients "
        "and proxies keep theirs",
    )
    send_timeout: Seconds = Field(
        30.0,
        gt=0,
        le=3600,
        description="time that a client may leave an answer untaken, before the connection is "
        "broken off; longer while it takes 16 KiB a second",
    )
    max_unsent_bytes: Bytes = Field(
        256 * 2**20,
        ge=2**20,
        description="size of all answers that their clients have not taken yet; above it the "
        "slowest connection is broken off",
    )
    max_inspect_queue_size: Count = Field(
        32,
        ge=1,
        description="requests for kernels, and for input, that may wait, before 429",
    )
    max_explained_images: Count = Field(16, ge=1, le=1024, description="images to explain at once")
    max_explain_queue_size: Count = Field(
        64, ge=1, description="explanations that may wait, before 429"
    )
    api_key: SecretStr | None = Field(
        None,
        description="ask for it as 'Authorization: Bearer KEY'; better set as a variable",
    )
    api_key_file: NonEmptyPath | None = Field(
        None,
        description="file of the API keys that may ask, each with a name, as 'fanlight key' makes "
        "them; read again when it changes",
    )
    rate_limit: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="requests a second with an API key, or from an address where none is asked "
        "for, before 429; each worker counts for itself; default: no limit",
    )
    rate_burst: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="requests that may come together before rate_limit is noticed; default: "
        "those of one second",
    )
    metrics_access: Literal["open", "key"] = Field(
        "open", description="whether /metrics asks for an API key, as the rest does"
    )
    root_path: str | None = Field(
        None,
        pattern=r"^(/[A-Za-z0-9._~-]+)+$",
        description="path under which a proxy offers the service, /fanlight for example; default: "
        "none",
    )
    trusted_proxies: Proxies = Field(
        (),
        description="addresses or networks of proxies, separated by commas, whose "
        "X-Forwarded-For tells the client; default: none is believed",
    )
    cors_origins: AllowedOrigins = Field(
        (),
        description="web pages, separated by commas, whose scripts may read answers: "
        "https://example.org, or * for all; default: none",
    )
    invocations_model: str | None = Field(
        None,
        description="model that POST /invocations asks, as Amazon SageMaker calls a container; "
        "default: the only one",
    )
    torchserve_paths: Literal["off", "on"] = Field(
        "off", description="whether /predictions/<model> is answered, as TorchServe does"
    )
    access_log: Switch = Field(
        True,
        description="a line of the log for each request; unexpected errors have theirs in any case",
    )
    tracing: Switch = Field(
        False,
        description="send OpenTelemetry's traces of requests and batches; needs the extra otel; "
        "the address is that of OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="info has a line for each request; refusals under overload share one a second",
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="auto is text on a terminal and json elsewhere"
    )

    @field_validator("api_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not key.get_secret_value().strip():
            raise ValueError("is empty; give a key, or leave the setting out to ask for none")
        return key

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_images > self.max_queue_size:
            raise ValueError(
                f"max_images ({self.max_images}) must not be above max_queue_size "
                f"({self.max_queue_size}): such a request could never be queued"
            )
        if self.max_body_bytes > self.max_held_bytes:
            raise ValueError(
                f"max_body_bytes ({units.show_bytes(self.max_body_bytes)}) must not be above "
                f"max_held_bytes ({units.show_bytes(self.max_held_bytes)}): such a body could "
                "never be received"
            )
        return self

    @field_validator("root_path")
    @classmethod
    def _is_free(cls, path: str | None) -> str | None:
        first = None if path is None else path.split("/")[1]
        if first in OWN_PATHS:
            raise ValueError(f"begins like addresses of the service, /{first}; take another")
        return path

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        """Raise `ValueError` if a setting lacks another one that it needs, or if both ports are
        equal."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            given, missing = ("tls_certificate", "tls_key")
            if self.tls_certificate is None:
                given, missing = missing, given
            raise ValueError(f"{given} needs {missing} too: HTTPS takes a certificate and its key")
        if self.metrics_port is not None and self.metrics_port == self.port:
            raise ValueError(
                f"metrics_port must not be port ({self.port}); leave it out to have /metrics there"
            )
        if self.metrics_access == "key" and not self.asks_for_key:
            raise ValueError("metrics_access 'key' needs api_key or api_key_file")
        if self.rate_burst is not None and self.rate_limit is None:
            raise ValueError("rate_burst needs rate_limit: without it nothing is limited")
        return self

    @property
    def repositories(self) -> tuple[Path, ...]:
        """The folders to serve, without duplicates. The first one that has a model serves it."""
        return repository_paths.distinct(self.repository or repository_paths.USUAL)

    @property
    def permission(self) -> Permission:
        """The permission to import the users' own code for versions that need it.

        Modules are also searched for in the working folder, unless that is inside a repository.
        """
        here = Path.cwd()
        is_inside = any(here.is_relative_to(each.resolve()) for each in self.repositories)
        return Permission(self.architectures, None if is_inside else here)

    @property
    def asks_for_key(self) -> bool:
        """True if the paths under /v1 need an API key."""
        return self.api_key is not None or self.api_key_file is not None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls)

    def environment(self) -> dict[str, str]:
        """Return the settings as environment variables, for child processes."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        if self.api_key is not None:
            values["api_key"] = self.api_key.get_secret_value()
        for name in ("architectures", "trusted_proxies", "cors_origins"):
            values[name] = ",".join(values[name])
        if self.repository is not None:
            values["repository"] = repository_paths.join(self.repository)
        return {
            PREFIX + name.upper(): str(value) for name, value in values.items() if value is not None
        }


GROUPS = {
    "Where it listens": ("host", "port", "tls_certificate", "tls_key", "metrics_port"),
    "Who may ask": ("api_key", "api_key_file", "rate_limit", "rate_burst", "metrics_access"),
    "Behind a proxy, and for web pages": ("root_path", "trusted_proxies", "cors_origins"),
    "Processes": ("workers", "worker_timeout", "shutdown_grace"),
    "Models": (
        "repository",
        "architectures",
        "watch_interval",
        "max_checkpoint_bytes",
        "max_versions",
    ),
    "How predictions are computed": ("device", "runtime", "precision", "threads", "graph_cache"),
    "When an answer is unsure": ("coverage", "familiarity_threshold"),
    "Batches, queues and time": (
        "max_batch_size",
        "max_batch_delay",
        "max_queue_size",
        "max_queue_wait",
        "max_explain_queue_size",
        "max_inspect_queue_size",
        "request_timeout",
        "progress_timeout",
    ),
    "Connections": (
        "max_connections",
        "head_timeout",
        "idle_timeout",
        "send_timeout",
        "max_unsent_bytes",
    ),
    "Limits of a request": (
        "max_images",
        "max_body_bytes",
        "max_held_bytes",
        "max_image_pixels",
        "max_decode_time",
        "max_feature_values",
        "max_explained_images",
    ),
    "For clients of other servers": ("invocations_model", "torchserve_paths"),
    "Log and traces": ("log_level", "log_format", "access_log", "tracing"),
}
"""Headings of the help → names of the settings below them; each setting is in one group."""
