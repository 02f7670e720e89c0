"""GitHub's files: valid YAML, actions pinned by commit, the Python versions of pyproject."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TRIGGERS = True  # what YAML 1.1 makes of the key `on`


def content(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def steps(workflow: Any) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
class TestWorkflow:
    def test_it_may_only_read(self, path: Path) -> None:
        assert content(path)["permissions"] == {"contents": "read"}

    def test_each_job_has_a_name_and_a_limit_of_time(self, path: Path) -> None:
        for job in content(path)["jobs"].values():
            assert job["name"]
            assert job["timeout-minutes"] <= 40

    def test_actions_are_pinned_by_commit_and_say_their_version(self, path: Path) -> None:
        used = re.findall(r"uses: (.*)", path.read_text())
        assert used
        for action in used:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)

    def test_its_recipes_are_in_the_justfile(self, path: Path) -> None:
        recipes = re.findall(r"^(\w+)(?: \*\w+)?:(?!=)", (ROOT / "justfile").read_text(), re.M)
        called = re.findall(r"just (\w+)", path.read_text())
        assert set(called) <= set(recipes)

    def test_the_files_that_its_commands_name_exist(self, path: Path) -> None:
        for step in steps(content(path)):
            for file in re.findall(r"(?<![\w/.])(?:tests|\.ci)/[\w./-]+", step.get("run", "")):
                assert (ROOT / file).exists()


def test_the_tests_run_on_the_versions_of_python_that_the_classifiers_name() -> None:
    matrix = content(GITHUB / "workflows" / "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]
    prefix = "Programming Language :: Python :: 3."
    named = [each for each in PROJECT["project"]["classifiers"] if each.startswith(prefix)]
    assert matrix["python"] == [each.rpartition(" ")[2] for each in named]
    assert PROJECT["project"]["requires-python"] == f">={matrix['python'][0]}"


def test_a_scheduled_job_tries_the_newest_uvicorn() -> None:
    workflow = content(GITHUB / "workflows" / "newest-uvicorn.yml")
    assert workflow[TRIGGERS]["schedule"]
    commands = " ".join(step.get("run", "") for step in steps(workflow))
    assert "--upgrade uvicorn" in commands
    assert "tests/service/server" in commands


def test_a_scheduled_job_runs_the_tests_that_ci_run_leaves_out() -> None:
    workflow = content(GITHUB / "workflows" / "nightly.yml")
    assert workflow[TRIGGERS]["schedule"]
    assert "just thorough" in " ".join(step.get("run", "") for step in steps(workflow))
    recipe = (ROOT / "justfile").read_text().partition("\nthorough *arguments:\n")[2]
    assert recipe.split("\n")[0].split()[:3] == ["pytest", "-m", "thorough"]


def test_what_the_nightly_job_installs_is_pinned() -> None:
    workflow = content(GITHUB / "workflows" / "nightly.yml")
    commands = " ".join(step.get("run", "") for step in steps(workflow))
    [packages] = re.findall(r"pip install -c constraints.txt -e '\.\[test\]' (.*?) &&", commands)
    pinned = (ROOT / "constraints.txt").read_text()
    for package in packages.split():
        assert f"\n{package}==" in pinned


def test_the_nightly_job_has_what_its_tests_need() -> None:
    """A test whose program or data set is missing is skipped, and nobody notices."""
    workflow = content(GITHUB / "workflows" / "nightly.yml")
    commands = " ".join(step.get("run", "") for step in steps(workflow))
    [programs] = re.findall(r"apt-get install -y --no-install-recommends (.*)", commands)
    assert {"nginx-light", "haproxy", "prometheus"} <= set(programs.split())
    assert workflow["env"]["FANLIGHT_DATA"]
    assert commands.index("fanlight visualize dataset") < commands.index("just test -m data")


def test_a_scheduled_job_audits_the_packages() -> None:
    workflow = content(GITHUB / "workflows" / "audit.yml")
    assert workflow[TRIGGERS]["schedule"]
    assert "just audit" in " ".join(step.get("run", "") for step in steps(workflow))
    recipe = (ROOT / "justfile").read_text().partition("\naudit:\n")[2].split("\n")[0]
    assert "--requirement constraints.txt" in recipe
    assert "--strict" in recipe  # a package that nobody could look up is no good news


def test_dependabot_looks_at_actions_packages_and_images() -> None:
    updates = content(GITHUB / "dependabot.yml")["updates"]
    assert {each["package-ecosystem"] for each in updates} == {
        "github-actions",
        "pip",
        "npm",
        "docker",
    }


def test_the_form_for_a_fault_asks_for_what_is_needed() -> None:
    form = content(GITHUB / "ISSUE_TEMPLATE" / "fault.yml")
    assert [field["id"] for field in form["body"]] == ["done", "happened", "version"]
    assert all(field["validations"]["required"] for field in form["body"])


def test_the_hooks_before_a_commit_are_of_the_tested_versions() -> None:
    repositories = content(ROOT / ".pre-commit-config.yaml")["repos"]
    hooks = [hook for each in repositories for hook in each["hooks"]]
    assert {each["repo"] for each in repositories} == {"local"}
    assert all(hook["language"] == "system" for hook in hooks)


def test_what_lints_in_ci_is_a_part_of_what_tests_need() -> None:
    lint, test = PROJECT["dependency-groups"]["lint"], PROJECT["project"]["optional-dependencies"]
    assert set(lint) <= set(test["test"])


@pytest.mark.parametrize(
    "package", PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
)
def test_packages_say_that_they_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
