"""What can be set: environment variables and flags → `Settings`.

A flag `--max-batch-size` is the variable FANLIGHT_MAX_BATCH_SIZE; the flag wins.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "FANLIGHT_"


def _shipped() -> Path:
    """In the folder of `models`, which is not imported for that: it needs torch."""
    spec = find_spec("models")
    assert spec is not None  # noqa: S101
    assert spec.origin is not None  # noqa: S101
    return Path(spec.origin).parent / "checkpoints"


SHIPPED = _shipped()


class Settings(BaseSettings):
    """Serve the checkpoints of a model repository over HTTP.

    Each flag can be given as an environment variable instead: --max-batch-size is
    FANLIGHT_MAX_BATCH_SIZE. The API is described at /docs once the service runs.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        cli_prog_name="python -m service",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on")
    repository: Path = Field(
        SHIPPED, description="folder of <model>/<version>/; default: the checkpoints of Fanlight"
    )
    watch_interval: float = Field(
        2.0,
        ge=0,
        le=3600,
        description="seconds between looks for new and removed versions; 0: only at the start",
    )
    device: str = Field("auto", description="where networks run: auto, cpu, cuda or cuda:n")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the forward pass; half precision pays on GPUs"
    )
    runtime: Literal["auto", "torch", "onnx"] = Field(
        "auto",
        description="what gives predictions: onnx is ONNX Runtime, the quicker one on a CPU; auto "
        "takes it, or CUDA graphs on a GPU, where they answer as torch does",
    )
    graph_cache: Path | None = Field(
        None,
        description="folder of exported graphs, which make later starts quicker, and which may be "
        "emptied at any time; default: fanlight in the user's cache",
    )
    workers: int = Field(1, ge=1, le=256, description="processes, each with its own networks")
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="threads of a forward pass; default: the processors of this container, "
        "shared among the workers",
    )
    max_batch_size: int = Field(64, ge=1, le=4096, description="images in one forward pass")
    max_batch_delay: float = Field(
        0.0, ge=0, le=10, description="seconds that an image may wait for others to fill its batch"
    )
    max_queue_size: int = Field(
        1024, ge=1, description="images that may wait for one network, before 429"
    )
    request_timeout: float = Field(
        30.0, gt=0, le=3600, description="seconds to receive a request, and again to answer it"
    )
    max_images: int = Field(128, ge=1, description="images in one request")
    max_body_bytes: int = Field(32 * 2**20, ge=1024, description="bytes in the body of a request")
    max_held_bytes: int = Field(
        256 * 2**20, ge=1024, description="bytes of all bodies held at once, before 429"
    )
    max_image_pixels: int = Field(
        25_000_000, ge=1, le=178_000_000, description="width times height of an image"
    )
    max_feature_values: int = Field(
        2**24,
        ge=1024,
        le=2**28,
        description="activations in the answer to one request, four bytes each",
    )
    max_explained_images: int = Field(16, ge=1, le=1024, description="images to explain at once")
    max_explain_queue_size: int = Field(
        64, ge=1, description="explanations that may wait, before 429"
    )
    api_key: SecretStr | None = Field(
        None, description="ask for it as 'Authorization: Bearer KEY'; better set as a variable"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="info has a line for each request"
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="auto is text on a terminal and json elsewhere"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_images > self.max_queue_size:
            raise ValueError(
                f"max_images ({self.max_images}) must not be above max_queue_size "
                f"({self.max_queue_size}): such a request could never be queued"
            )
        if self.max_body_bytes > self.max_held_bytes:
            raise ValueError(
                f"max_body_bytes ({self.max_body_bytes}) must not be above max_held_bytes "
                f"({self.max_held_bytes}): such a body could never be received"
            )
        return self

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, for processes that this one starts."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        if self.api_key is not None:
            values["api_key"] = self.api_key.get_secret_value()
        return {
            PREFIX + name.upper(): str(value) for name, value in values.items() if value is not None
        }
