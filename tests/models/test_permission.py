"""Whose code may be imported: exact names of modules, and what is below them."""

from pathlib import Path

import pytest

from models.permission import NOTHING, Permission, is_reference, modules


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("a.b", True),
        ("a.b.c", True),
        ("a.b.c.d", True),
        ("a.bc", False),
        ("a.b_c", False),
        ("a", False),
        ("b", False),
        ("A.b", False),
        ("x.a.b", False),
        ("", False),
    ],
)
def test_a_module_allows_itself_and_what_is_below(module: str, allowed: bool) -> None:
    assert Permission(("a.b",)).allows(module) is allowed


def test_nothing_is_allowed_by_itself() -> None:
    assert not NOTHING.allows("a")
    assert not Permission(()).allows("torch.nn")


def test_who_names_an_architecture_allows_its_module() -> None:
    named = Permission.named("a.b:Net")
    assert named.modules == ("a.b",)
    assert named.folder == Path.cwd()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", ()),
        ("a", ("a",)),
        ("a,b.c", ("a", "b.c")),
        (" a , b ,", ("a", "b")),
        ("a b\n c", ("a", "b", "c")),
        (("a,b", "c"), ("a", "b", "c")),
        (("a", "a"), ("a",)),
        ((), ()),
    ],
)
def test_several_modules(given: str | tuple[str, ...], found: tuple[str, ...]) -> None:
    assert modules(given) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nets.py", "'nets.py' is a file: write its module, nets"),
        ("./mine/nets.py", "is a file: write its module, nets"),
        ("mine/nets", "is a file: write its module, nets"),
        ("nets:Net", "is more than a module: write nets"),
        (".nets", "'.nets' is no module: write package.module"),
        ("nets.", "is no module"),
        ("a..b", "is no module"),
        ("*", "is no module"),
        ("a.*", "is no module"),
        ("my-nets", "is no module"),
        ("__main__", "is no module"),
        ("nets.__init__", "is no module"),
        ("models", "models is a package of Fanlight's own: a file or folder of yours"),
        ("service.app", "service is a package of Fanlight's own"),
        ("os", "os is a module of Python's own"),
        ("builtins", "builtins is a module of Python's own"),
        ("code", "a file of yours with that name can't be imported beside it: rename it"),
    ],
)
def test_what_is_no_module_of_networks(given: str, message: str) -> None:
    with pytest.raises(ValueError, match="is ") as raised:
        modules(given)
    assert message in str(raised.value)


def test_references_have_a_colon() -> None:
    assert is_reference("nets:Net")
    assert not is_reference("lenet")
    assert not is_reference("torchvision/resnet18")
