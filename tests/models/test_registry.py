"""A registry: entries by name, found in the modules of a package, refused twice."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models.registry import Parameters, Registry, UnknownNameError, listed, nearest

PACKAGE = "toys_of_a_test"
MODULE = """
from tests.models.test_registry import TOYS, Toy

TOYS.register(Toy({name!r}))
"""


@dataclass(frozen=True)
class Toy:
    name: str
    description: str = "A toy."
    parameters: Parameters = field(default_factory=dict)


TOYS = Registry[Toy]("toy", package=PACKAGE, hint="; see the shelf")


@pytest.fixture
def toys() -> Registry[Toy]:
    registry = Registry[Toy]("toy")
    for name in ("yoyo", "ball", "kite"):
        registry.register(Toy(name))
    return registry


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / PACKAGE
    folder.mkdir()
    for name in ("robot", "doll"):
        (folder / f"{name}.py").write_text(MODULE.format(name=name))
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for module in [each for each in sys.modules if each.split(".")[0] == PACKAGE]:
        del sys.modules[module]


def test_entries_come_sorted_by_name(toys: Registry[Toy]) -> None:
    assert toys.names() == [toy.name for toy in toys] == ["ball", "kite", "yoyo"]
    assert len(toys) == 3
    assert "kite" in toys
    assert "kit" not in toys
    assert toys.get("kite") == Toy("kite")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kites", "no toy 'kites'; did you mean 'kite'? there are ball, kite, yoyo"),
        ("YoYo", "no toy 'YoYo'; did you mean 'yoyo'? there are ball, kite, yoyo"),
        ("car", "no toy 'car'; there are ball, kite, yoyo"),
    ],
)
def test_an_unknown_name_lists_the_names_and_the_nearest(
    toys: Registry[Toy], name: str, message: str
) -> None:
    with pytest.raises(UnknownNameError, match=f"^{re.escape(message)}$"):
        toys.get(name)


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(UnknownNameError, match="no toy 'car'; there are none"):
        Registry[Toy]("toy").get("car")


def test_the_error_is_the_kinds_own() -> None:
    with pytest.raises(LookupError, match="no toy"):
        Registry[Toy]("toy", error=LookupError).get("car")


def test_a_second_entry_of_a_name_is_refused_with_both_places(toys: Registry[Toy]) -> None:
    def elsewhere() -> None:
        toys.register(Toy("marble"), stacklevel=2)

    elsewhere()
    with pytest.raises(ValueError, match="toy 'marble' is registered twice") as told:
        toys.register(Toy("marble"))
    lines = re.findall(rf"{re.escape(__file__)}:(\d+)", str(told.value))
    source = Path(__file__).read_text().splitlines()
    assert [source[int(line) - 1].strip() for line in lines] == [
        "elsewhere()",
        'toys.register(Toy("marble"))',
    ]


def test_the_modules_of_the_package_are_imported_at_the_first_lookup(package: Path) -> None:
    with TOYS.restored():
        assert f"{PACKAGE}.doll" in sys.modules
        assert TOYS.names() == ["doll", "robot"]
    with pytest.raises(UnknownNameError, match=r"; there are doll, robot; see the shelf$"):
        TOYS.get("car")


def test_another_thread_waits_until_all_are_there() -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def plugins() -> dict[str, str]:
        begun.set()
        assert goes_on.wait(30)
        shelf.register(Toy("late"))
        assert shelf.get("late").name == "late"  # what is loaded may look up
        return {}

    shelf = Registry[Toy]("toy", plugins=plugins)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(shelf.get("late").name))]
    threads[0].start()
    assert begun.wait(30)
    threads.append(threading.Thread(target=lambda: found.append(shelf.get("late").name)))
    threads[1].start()
    goes_on.set()
    for each in threads:
        each.join(30)
    assert found == ["late", "late"]


def test_what_is_changed_inside_is_undone(toys: Registry[Toy]) -> None:
    with toys.restored():
        toys.register(Toy("drum"))
        toys.discard("ball")
        toys.discard("car")
        assert toys.names() == ["drum", "kite", "yoyo"]
    assert toys.names() == ["ball", "kite", "yoyo"]
    toys.register(Toy("drum"))


def test_a_table_has_a_row_for_each_entry(toys: Registry[Toy]) -> None:
    table = toys.table({"toy": lambda toy: f"`{toy.name}`", "or": lambda _: "a|b\nc"})
    assert table.splitlines() == [
        "| toy | or |",
        "| --- | --- |",
        "| `ball` | a\\|b c |",
        "| `kite` | a\\|b c |",
        "| `yoyo` | a\\|b c |",
    ]


@pytest.mark.parametrize(
    ("name", "near"), [("pytorch", "torch"), ("TORCH", "torch"), ("abacus", None), ("", None)]
)
def test_the_nearest_name(name: str, near: str | None) -> None:
    assert nearest(name, ("onnx", "torch")) == near


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "none"), (2, "0, 1"), (40, ", ".join(map(str, range(40)))), (1041, " 39 and 1,001 more")],
)
def test_of_many_names_the_first_are_listed(count: int, text: str) -> None:
    assert listed([str(number) for number in range(count)]).endswith(text)


def test_the_module_needs_neither_torch_nor_numpy() -> None:
    program = "import sys, models.registry; sys.exit(bool({'torch', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
