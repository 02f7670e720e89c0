"""`package.module:Name`: what is imported, what is called, and what is refused with which words."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.architectures import registry
from models.architectures.registry import ARCHITECTURES, ArchitectureError, Permission
from models.errors import message
from models.preprocessing import InputSpec
from tests.own_code import Write, write

pytestmark = pytest.mark.slow

__all__ = ["write"]
NET = """
class Net(nn.Sequential):
    '''Tells apart.

    More.'''
    def __init__(self, num_classes=3, width: int = 4):
        super().__init__(
            nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_classes)
        )
"""


def refused(reference: str, permission: Permission | None = None) -> str:
    with pytest.raises(ArchitectureError) as raised:
        registry.architecture(reference, permission or Permission.named(reference))
    return str(raised.value)


class TestBuild:
    def test_a_class(self, write: Write) -> None:
        known = registry.named(f"{write(NET)}:Net")
        assert known.description == "Tells apart."
        assert known.parameters == {"width": {"type": "integer", "default": 4}}
        network = known.build(5, width=7)
        assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 5)
        assert network.get_parameter("1.weight").shape == (7, 64)

    def test_a_function(self, write: Write) -> None:
        module = write("def net(num_classes): return nn.Linear(2, num_classes)")
        assert isinstance(registry.named(f"{module}:net").build(3), nn.Linear)

    @pytest.mark.parametrize(
        "made", ["partial(make, width=9)", "lambda num_classes: make(num_classes, 9)"]
    )
    def test_what_else_can_be_called(self, made: str, write: Write) -> None:
        module = write(f"""
            from functools import partial
            def make(num_classes, width): return nn.Linear(width, num_classes)
            net = {made}
        """)
        assert registry.named(f"{module}:net").build(3).get_parameter("weight").shape == (3, 9)

    def test_a_network_at_the_top_of_a_file_is_copied_and_drawn_anew(self, write: Write) -> None:
        known = registry.named(f"{write('net = nn.Linear(4, 3)')}:net")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            one, other = known.build(3), known.build(3)
            torch.manual_seed(0)
            again = known.build(3)
        assert one is not other
        assert not torch.equal(one.get_parameter("weight"), other.get_parameter("weight"))
        assert torch.equal(one.get_parameter("weight"), again.get_parameter("weight"))

    def test_in_a_package_and_re_exported(self, write: Write) -> None:
        package = write("from .deep import Net", f"{(name := 'packed1')}.__init__")
        write(NET, f"{name}.deep")
        assert package == "packed1.__init__"
        for reference in (f"{name}:Net", f"{name}.deep:Net"):
            assert isinstance(registry.named(reference).build(3), nn.Module)

    @pytest.mark.parametrize("argument", ["n_classes", "out_features", "num_labels", "n_out"])
    def test_the_number_of_classes_by_its_usual_names(self, argument: str, write: Write) -> None:
        module = write(f"def net(hidden=5, *, {argument}=2): return nn.Linear(hidden, {argument})")
        known = registry.named(f"{module}:net")
        assert known.build(7).get_parameter("weight").shape == (7, 5)
        assert set(known.parameters) == {"hidden"}
        assert known.build(7, **{argument: 4}).get_parameter("weight").shape == (4, 5)

    @pytest.mark.parametrize(
        "signature",
        [
            "",
            "out_features='many'",
            "classes: tuple[str, ...] = ('a', 'b')",
            "classes: 'list[str] | None' = None",
            "n_classes: bool = False",
        ],
    )
    def test_a_fixed_head_is_told_nothing(self, signature: str, write: Write) -> None:
        known = registry.named(f"{write(f'def net({signature}): return nn.Linear(5, 4)')}:net")
        assert known.classes is None
        assert known.build(7).get_parameter("weight").shape == (4, 5)

    def test_star_arguments_are_passed_on(self, write: Write) -> None:
        module = write("def net(**kwargs): return nn.Linear(3, kwargs['num_classes'])")
        assert registry.named(f"{module}:net").build(6).get_parameter("weight").shape == (6, 3)

    @pytest.mark.parametrize(
        "argument",
        [
            "activation=nn.ReLU",
            "copy=1",
            "json='x'",
            "_depth: int = 2",
            "model_name='m'",
            "norm: 'Missing' = None",
            "layer: nn.Module | None = None",
            "self_: dict = {}",
            "sizes=(1, 2)",
        ],
    )
    def test_arguments_of_any_kind(self, argument: str, write: Write) -> None:
        module = write(f"def net(num_classes, {argument}): return nn.Linear(2, num_classes)")
        known = registry.named(f"{module}:net")
        assert isinstance(known.build(3), nn.Linear)
        assert len(known.parameters) == 1

    def test_a_user_s_architecture_can_state_its_input(self, write: Write) -> None:
        module = write("""
            from models.architectures.registry import register
            from models.preprocessing import InputSpec

            @register("stated", InputSpec(channels=3, height=9, width=7, mean=(0.1, 0.2, 0.3)))
            def stated(num_classes, depth=2):
                '''States its input.'''
                return nn.Sequential(nn.Flatten(), nn.Linear(189, num_classes))
        """)
        with ARCHITECTURES.restored():
            known = registry.named(f"{module}:stated")
            assert known.input == InputSpec(channels=3, height=9, width=7, mean=(0.1, 0.2, 0.3))
            assert known.description == "States its input."
            assert registry.architecture("stated").input == known.input


class TestRefused:
    def test_without_permission_nothing_is_imported(self, write: Write) -> None:
        module = write("raise SystemError('was imported')")
        for permission in (Permission(), Permission((f"{module}x",)), Permission((module[:-1],))):
            said = refused(f"{module}:Net", permission)
            assert f"allow it with --architectures {module}" in said
            assert "FANLIGHT_ARCHITECTURES" in said
        assert module not in sys.modules

    def test_what_the_module_only_imports_is_not_called(self, write: Write) -> None:
        module = write("from os import system\nfrom torch.nn import Linear\nimport os\n")
        assert "is only imported there: it is defined in torch.nn" in refused(f"{module}:Linear")
        assert "is an object of builtin" in refused(f"{module}:system")
        assert "is an object of module" in refused(f"{module}:os")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("os.system", "names no network: write package.module:Class"),
            ("__builtins__", "names no network"),
            ("", "names no network"),
            ("a b", "names no network"),
            ("Net()", "names no network"),
            ("Nets", "has no 'Nets'; did you mean 'Net'? its networks are Net"),
            ("WIDTH", "is an object of int: name a class of torch.nn.Module, a function"),
            ("Plain", "is a class, but none of torch.nn.Module"),
        ],
    )
    def test_what_is_no_network(self, name: str, message: str, write: Write) -> None:
        module = write(NET + "WIDTH = 3\nclass Plain: pass\n")
        assert message in refused(f"{module}:{name}")

    @pytest.mark.parametrize(
        ("reference", "message"),
        [
            ("os:system", "os is a module of Python's own"),
            ("builtins:exec", "builtins is a module of Python's own"),
            ("posix:system", "posix is a module of Python's own"),
            ("__main__:Net", "'__main__' is no module"),
            (".net:Net", "'.net' is no module"),
            (":Net", "'' is no module"),
            ("models:Net", "models is a package of Fanlight's own: a file or folder of yours"),
            ("net.py:Net", "'net.py' is a file: write its module, net"),
            ("nowhere9:Net", "there is no module nowhere9"),
            ("nowhere9.deep:Net", "there is no module nowhere9"),
            ("torch.nowhere9:Net", "there is no module torch.nowhere9"),
            ("mine.Net", "a network of your own is package.module:Class, such as mine:Net"),
            ("net.py", "such as net:Net"),
        ],
    )
    def test_what_is_no_module(self, reference: str, message: str, write: Write) -> None:
        assert message in refused(reference)

    def test_the_nearest_file_is_named(self, write: Write) -> None:
        write(NET, "drawings")
        said = refused("drawing:Net")
        assert "did you mean 'drawings'? it was looked for among the installed packages" in said
        assert str(Path.cwd()) in said

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x = 1 / 0", "line 3): ZeroDivisionError: division by zero"),
            ("x = (", "line 3): SyntaxError: '(' was never closed"),
            ("import nowhere9", "line 3): it needs nowhere9, which is not installed"),
            ("import sys; sys.exit(2)", "ends the program when it is imported"),
            ("raise SystemExit", 'put what it does as a program under if __name__ == "__main__":'),
            ("class E(Exception): pass\nraise E", "line 4): E"),
        ],
    )
    def test_what_fails_at_import_says_where(self, text: str, message: str, write: Write) -> None:
        module = write(text)
        said = refused(f"{module}:Net")
        assert f"{module}.py" in said
        assert message in said

    def test_the_user_s_own_traceback_is_kept(self, write: Write) -> None:
        module = write("def broken(): return [][0]\nbroken()")
        with pytest.raises(ArchitectureError) as raised:
            registry.named(f"{module}:Net")
        printed = message(raised.value)
        assert printed is not None
        assert "line 4, in <module>" in printed
        assert "line 3, in broken" in printed
        assert printed.endswith("IndexError: list index out of range")
        assert "importlib" not in printed
        assert "own_code" not in printed

    @pytest.mark.parametrize(
        ("body", "arguments", "message"),
        [
            ("return 5", {}, "returned an object of int, where a torch.nn.Module is needed"),
            ("return nn.Linear(2, 3), 1", {}, "returned an object of tuple"),
            ("return {}['a']", {}, "can't be built with {}: KeyError: 'a' ("),
            ("raise LookupError", {}, "LookupError ("),
            ("raise SystemExit(3)", {}, "SystemExit, which ends the program (sys.exit) ("),
            ("return nn.Linear(2, 3)", {"dept": 1}, "did you mean 'depth'?"),
            ("return nn.Linear(2, 3)", {"depth": "x"}, "depth: should be a whole number"),
        ],
    )
    def test_what_can_not_be_built(
        self, body: str, arguments: dict[str, Any], message: str, write: Write
    ) -> None:
        known = registry.named(f"{write(f'def net(depth: int = 1): {body}')}:net")
        with pytest.raises(ArchitectureError) as raised:
            known.build(3, **arguments)
        assert message in str(raised.value)

    def test_an_argument_that_is_needed(self, write: Write) -> None:
        module = write("def net(num_classes, depth): return nn.Linear(2, 3)")
        with pytest.raises(ArchitectureError, match="it needs the argument 'depth'"):
            registry.named(f"{module}:net").build(3)


def test_the_working_folder_shadows_nothing(write: Write) -> None:
    """It is looked in last, and only for code that was named."""
    write("raise SystemError('shadowed')", "captum")
    module = write("import captum\n" + NET)
    assert isinstance(registry.named(f"{module}:Net").build(3), nn.Module)
    assert sys.path[-1] == str(Path.cwd())
