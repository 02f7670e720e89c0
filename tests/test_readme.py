"""README's commands and paths, as far as they can be checked without running them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_one_command_starts_the_service_and_one_passes_the_tests() -> None:
    commands = re.findall(r"^python3 -m venv \.venv && .*$", README, re.MULTILINE)
    assert [command.split()[-1] for command in commands] == ["serve", ".venv/bin/pytest"]


def test_the_samples_that_it_sends_are_there() -> None:
    samples = re.findall(r"@(tests/data/\S+)", README)
    assert len(samples) >= 4
    for sample in samples:
        assert (ROOT / sample).is_file()


def test_the_folders_that_it_names_are_there() -> None:
    for folder in re.findall(r"^\| `([a-z/]+)/` \|", README, re.MULTILINE):
        assert (ROOT / folder).is_dir()
