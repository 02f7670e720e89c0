"""Checkpoints: a state_dict or a graph, and the card with what is needed to rebuild and serve it.

A repository is a folder of `<model>/<version>/card.json` and `weights.pt` or `model.onnx`, or a
part of one (`place`).

    publish: network → temporary folder → fsync → rename to the next free version (`publishing`)
    load:    folder → card checked → SHA-256 compared → network on its device      (`loading`)

A version appears whole or not at all, and is never changed afterwards.
"""

from models.checkpoint.card import Card, TrainingRecord, read_card
from models.checkpoint.errors import CheckpointError
from models.checkpoint.folder import (
    NAME,
    Contents,
    check_name,
    contents,
    find,
    names,
    proposed_name,
    versions,
)
from models.checkpoint.labels import check_labels
from models.checkpoint.loading import Checkpoint, load, load_named
from models.checkpoint.network import GRAPH, WEIGHTS, build
from models.checkpoint.place import CARD, Form, Place
from models.checkpoint.publishing import (
    IMPORTED,
    check_target,
    publish,
    publish_graph,
    publish_trust,
)
from models.checkpoint.stamps import FileStamp, changes
from models.checkpoint.state_dict import read_state_dict
from models.checkpoint.trial import probes, trial

__all__ = [
    "CARD",
    "GRAPH",
    "IMPORTED",
    "NAME",
    "WEIGHTS",
    "Card",
    "Checkpoint",
    "CheckpointError",
    "Contents",
    "FileStamp",
    "Form",
    "Place",
    "TrainingRecord",
    "build",
    "changes",
    "check_labels",
    "check_name",
    "check_target",
    "contents",
    "find",
    "load",
    "load_named",
    "names",
    "probes",
    "proposed_name",
    "publish",
    "publish_graph",
    "publish_trust",
    "read_card",
    "read_state_dict",
    "trial",
    "versions",
]
