"""How many replicas there are, and what each gets of its node: arguments → `Scale`."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

WITHOUT_USE = ("tls_certificate", "tls_key", "metrics_port", "workers")
"""Settings of `fanlight serve` that have no use on Ray, which listens and starts the processes."""


class Scale(BaseModel):
    """The size of an application on a cluster, with its limits.

    The fields are the options of `fanlight ray serve`, and the arguments of
    `serve run deploy.ray:app NAME=VALUE`. Times are in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    replicas: int = Field(1, ge=0, le=4096, description="replicas, or the fewest with max_replicas")
    max_replicas: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="the most replicas; their number then follows the requests that are being "
        "answered; default: as many as replicas",
    )
    target_requests: float = Field(
        16.0,
        gt=0,
        le=10_000,
        description="requests in progress for each replica that max_replicas aims at",
    )
    upscale_delay: float = Field(
        5.0, ge=0, le=3600, description="seconds of more requests before a replica is added"
    )
    downscale_delay: float = Field(
        300.0, ge=0, le=86_400, description="seconds of fewer requests before one is taken away"
    )
    cpus: float = Field(
        1.0,
        ge=0,
        le=1024,
        description="processors of a node that a replica reserves, and computes with",
    )
    gpus: float = Field(
        0.0,
        ge=0,
        le=64,
        description="GPUs that a replica reserves; 0.25 lets four replicas share one",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_replicas is None and self.replicas == 0:
            raise ValueError("replicas 0 needs max_replicas: otherwise nothing would ever answer")
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(
                f"max_replicas ({self.max_replicas}) must not be below replicas ({self.replicas})"
            )
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus ({self.gpus:g}) must be a whole number above 1, as Ray asks")
        return self
