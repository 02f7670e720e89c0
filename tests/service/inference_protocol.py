"""Requests of the Open Inference Protocol v2, and what their answers hold."""

import json
import struct
from typing import Any

import httpx2 as httpx
import numpy as np
from fastapi.testclient import TestClient

from tests.networks import encode, picture

COLORS = "/v2/models/colors"
IMAGES = [encode(picture(seed)) for seed in range(3)]
LENGTH = "Inference-Header-Content-Length"


def tensor(name: str, datatype: str, shape: list[int], data: Any = None, **more: Any) -> Any:
    found = {"name": name, "datatype": datatype, "shape": shape, **more}
    return found if data is None else found | {"data": data}


def infer(
    client: TestClient, *inputs: Any, binary: bytes = b"", path: str = COLORS, **request: Any
) -> httpx.Response:
    """The answer to a request with these inputs, and with these bytes behind the JSON."""
    body = json.dumps({"inputs": inputs, **request}).encode()
    headers = {LENGTH: str(len(body))} if binary else {}
    answer: httpx.Response = client.post(f"{path}/infer", content=body + binary, headers=headers)
    return answer


def elements(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(each)) + each for each in values)


def encoded(*images: bytes) -> tuple[Any, bytes]:
    """The input `image` in binary form."""
    binary = elements(*images)
    size = {"binary_data_size": len(binary)}
    return tensor("image", "BYTES", [len(images)], parameters=size), binary


def outputs(answer: httpx.Response) -> dict[str, Any]:
    """By name: the data of JSON in the output's shape, or what stands behind the JSON."""
    assert answer.status_code == 200, answer.text
    length = answer.headers.get(LENGTH)
    told = json.loads(answer.content[: int(length)] if length else answer.content)
    left = answer.content[int(length) :] if length else b""
    found: dict[str, Any] = {}
    for each in told["outputs"]:
        if "data" in each:
            found[each["name"]] = np.array(each["data"]).reshape(each["shape"])
            continue
        size = each["parameters"]["binary_data_size"]
        mine, left = left[:size], left[size:]
        if each["datatype"] == "BYTES":
            texts = []
            while mine:
                (length,) = struct.unpack_from("<I", mine)
                texts.append(mine[4 : 4 + length].decode())
                mine = mine[4 + length :]
            found[each["name"]] = np.array(texts).reshape(each["shape"])
        else:
            found[each["name"]] = np.frombuffer(mine, "<f4").reshape(each["shape"])
    assert not left
    return found
