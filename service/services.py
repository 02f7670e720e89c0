"""What requests need of the application that answers them."""

from dataclasses import dataclass, field

from service.budget import Budget
from service.explaining import Lane
from service.images import Decoder
from service.metrics import Metrics
from service.repository import Repository
from service.settings import Settings
from service.uploads import Receiver


@dataclass(eq=False)
class Services:
    """The state of an application; the last three are there while it runs."""

    settings: Settings
    receiver: Receiver
    budget: Budget
    metrics: Metrics
    repository: Repository = field(init=False)
    decoder: Decoder = field(init=False)
    lane: Lane = field(init=False)
