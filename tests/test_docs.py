"""The pages for people who change the code: what they name exists, and CI runs what they say."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from service.settings import Settings

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
JUSTFILE = (ROOT / "justfile").read_text()
PACKAGES = ["models", "training", "service", "fanlight", "benchmarks"]
INDEX = (ROOT / "docs" / "decisions" / "README.md").read_text()
COMMANDS = [
    *("check", "test", "fast", "thorough", "fix", "serve", "e2e", "faults", "docs", "audit"),
    *("soak", "fuzz", "restarts"),
]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[a-z]*.md"))
PAGES = [
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/architecture.md",
    "docs/reliability.md",
    *(str(page.relative_to(ROOT)) for page in DECISIONS),
]
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
# `folder/file.py`, `folder/`, `file.md`, `folder/*.py`
_PATH = re.compile(r"[\w.*-]+(/[\w.*-]+)*/|[\w.*-]+(/[\w.*-]+)+|[\w*-]+\.(md|py|toml|txt|yml)")
_NAME = re.compile(r"(?P<file>[\w/-]+\.py): (?P<name>\w+(\.\w+)?)")  # `file.py: function`


def spans(page: str) -> list[str]:
    """What stands in backticks on a page, outside its blocks of code."""
    return _SPAN.findall(_FENCE.sub("", (ROOT / page).read_text()))


def names(file: Path) -> set[str]:
    """The functions, classes and constants of a module, and the methods as `Class.method`."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{method.name}"
                for method in node.body
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        if isinstance(node, ast.AnnAssign):
            found.add(ast.unparse(node.target))
        if isinstance(node, ast.Assign):
            found |= {ast.unparse(target) for target in node.targets}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_exist(page: str) -> None:
    named = [span for span in spans(page) if _PATH.fullmatch(span)]
    paths = [path for path in named if not path.startswith("build/")]  # what a command makes
    assert paths
    assert [path for path in paths if not any(ROOT.glob(path))] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_functions_that_a_page_names_exist(page: str) -> None:
    named = [match for span in spans(page) if (match := _NAME.fullmatch(span))]
    missing = [
        match[0]
        for match in named
        if not (ROOT / match["file"]).is_file() or match["name"] not in names(ROOT / match["file"])
    ]
    assert missing == []


def test_the_commands_of_contributing_are_the_recipes_of_the_justfile() -> None:
    public = re.findall(r"(?<!\[private\]\n)^(\w+)(?: \*\w+)?:(?!=)", JUSTFILE, re.MULTILINE)
    told = re.findall(r"^\| `just (\w+)", CONTRIBUTING, re.MULTILINE)
    assert public == told == COMMANDS


def test_ci_calls_the_recipes_that_check_consists_of() -> None:
    check = re.search(r"^check: (.*)$", JUSTFILE, re.MULTILINE)
    assert check is not None
    called = re.findall(r"bin/just\"? (\w+)", (ROOT / ".ci" / "run").read_text())
    assert called == check[1].split()


def test_architecture_names_the_contracts_of_the_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = [each["name"] for each in project["tool"]["importlinter"]["contracts"]]
    page = (ROOT / "docs" / "architecture.md").read_text()
    listed = re.search(r"These are its contracts.*?\n\n((?:- [^\n]*\n)+)", page, re.DOTALL)
    assert listed is not None
    assert listed[1].replace("- ", "").splitlines() == contracts


def test_architecture_names_every_folder_of_the_packages() -> None:
    modules = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    folders = {f"{path.parent.relative_to(ROOT)}/" for path in modules}
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert folders - set(re.findall(r"^\| `([\w/]+/)` \|", page, re.MULTILINE)) == set()


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_that_a_page_links_to_exist(page: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text())
    local = [target for target in targets if not target.startswith("http")]
    folder = (ROOT / page).parent
    assert [target for target in local if not (folder / target).exists()] == []


def test_security_states_the_limits_as_they_are() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    told = re.findall(r"\| `(\w+)`, ([\d,]+)( MiB)?\b", page)
    units = {"": 1, " MiB": 2**20}
    stated = {name: int(number.replace(",", "")) * units[unit] for name, number, unit in told}
    assert len(stated) >= 6
    assert stated == {name: Settings.model_fields[name].default for name in stated}


def test_security_names_tests_for_each_promise() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    table = page.partition("## The tests of each promise")[2].partition("\n## ")[0]
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= 10
    for promise, tests in rows:
        found = [_NAME.fullmatch(span) for span in _SPAN.findall(tests)]
        assert found, promise
        for match in found:
            assert match is not None, promise
            assert match["name"].rpartition(".")[2].lower().startswith("test"), promise
            assert match["name"] in names(ROOT / match["file"]), match[0]


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_is_one_screen_with_its_measurement_and_consequences(page: Path) -> None:
    lines = page.read_text().splitlines()
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert headings == ["Context", "Decision", "Measurement", "Consequences"]
    assert re.match(r"Date: \d{4}-\d\d-\d\d\. Status: (in force|replaced by )", lines[2])
    assert len(lines) <= 60


def test_every_decision_is_in_the_list_of_decisions() -> None:
    listed = re.findall(r"^\| \[[\w-]+\.md\]\(([\w-]+\.md)\) \|", INDEX, re.MULTILINE)
    assert sorted(listed) == [page.name for page in DECISIONS]


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0] == "## [Unreleased]"
    released = r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d"
    assert all(re.fullmatch(released, line) for line in versions[1:])
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for version in re.split(r"^## ", "\n".join(lines), flags=re.MULTILINE)[1:]:
        before_kinds = version.partition("\n### ")[0]
        assert "\n- " not in before_kinds  # each line stands under its kind
