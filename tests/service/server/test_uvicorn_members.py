"""uvicorn still has what our protocol uses of it; if not, a sentence says what is missing."""

import ast
import asyncio
import inspect
import textwrap
from pathlib import Path

import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState

from service.server import protocol, uvicorn_members
from service.server.fast_path import PendingAnswer

ADVICE = "adapt service/server and its uvicorn_members.py, or bound uvicorn below it"


def told(what: str) -> str:
    return f"uvicorn {uvicorn.__version__} {what}: {ADVICE}"


def attributes(kind: type) -> set[str]:
    """What objects of a class have: its members, and what its `__init__` sets."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    stored = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {*dir(kind), *(node.attr for node in stored if isinstance(node.ctx, ast.Store))}


def test_the_methods_have_the_parameters_that_we_pass() -> None:
    for kind, methods in {
        HttpToolsProtocol: uvicorn_members.METHODS,
        Server: uvicorn_members.SERVER_METHODS,
    }.items():
        for name, (parameters, use) in methods.items():
            method = getattr(kind, name, None)
            assert method is not None, told(f"has no {kind.__name__}.{name} ({use})")
            found = tuple(inspect.signature(method).parameters)[1:]
            assert found == parameters, told(f"calls {kind.__name__}.{name} with {found} ({use})")


@pytest.mark.slow
def test_the_attributes_are_there() -> None:
    for kind, names in {
        HttpToolsProtocol: uvicorn_members.ATTRIBUTES,
        FlowControl: uvicorn_members.OF_FLOW,
        ServerState: {**uvicorn_members.OF_SERVER_STATE, **uvicorn_members.OF_CONNECTIONS},
        Server: uvicorn_members.OF_SERVER,
        RequestResponseCycle: uvicorn_members.OF_CYCLE,
    }.items():
        for name, use in names.items():
            assert name in attributes(kind), told(f"has no {kind.__name__}.{name} ({use})")
    assert httptools_impl.STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n", told(
        "has another STATUS_LINE"
    )


def test_the_fast_path_looks_like_a_request_of_uvicorn() -> None:
    assert attributes(PendingAnswer) >= set(uvicorn_members.OF_CYCLE) - {"body"}


def test_no_other_member_is_used() -> None:
    """Every attribute of `self`, and every method of `super()`, is our own or in the list."""
    tree = ast.parse(Path(protocol.__file__).read_text())
    [ours] = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and "HttpToolsProtocol" in map(ast.unparse, node.bases)
    ]
    own = set()
    for node in ours.body:
        if isinstance(node, ast.FunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            own.add(ast.unparse(node.target))
        elif isinstance(node, ast.Assign):
            own |= {ast.unparse(target) for target in node.targets}
    used = [node for node in ast.walk(ours) if isinstance(node, ast.Attribute)]
    of_self = {node.attr for node in used if ast.unparse(node.value) == "self"} - own
    of_super = {node.attr for node in used if ast.unparse(node.value) == "super()"}
    listed = {*uvicorn_members.METHODS, *uvicorn_members.ATTRIBUTES}
    assert of_self | of_super <= listed
    replaced = own & attributes(HttpToolsProtocol) - attributes(asyncio.Protocol)
    assert replaced <= listed
    assert listed <= of_self | of_super | own, "a member that is listed is not used any more"
