"""Labels for `import` from a file: lines, lists and dicts, and what is no labels."""

from pathlib import Path

import pytest
import torch

from models import checkpoint
from tests.models.importing.test_saved_files import network, run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("cat\ndog\r\n bird \n\n", ["cat", "dog", "bird"]),
        ('["cat", "dog", "bird"]', ["cat", "dog", "bird"]),
        ('{"1": "dog", "0": "cat", "2": "bird"}', ["cat", "dog", "bird"]),
        (
            '{"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n03", "bird"]}',
            ["cat", "dog", "bird"],
        ),
        ("\ufeffKatze\nHündin\n鳥", ["Katze", "Hündin", "鳥"]),
    ],
)
def test_labels_from_a_file(content: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(content, "utf-8", newline="")
    torch.save(network().state_dict(), tmp_path / "net.pt")
    assert run(tmp_path / "net.pt", labels=("--labels", str(tmp_path / "labels.txt"))) == 0
    card = checkpoint.read_card(tmp_path / "repository" / "net" / "1")
    assert list(card.labels) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2, 3]", "has labels that are not text"),
        (b'{"1": "a", "2": "b"}', "has no label '0': it counts from 0"),
        (b"[not JSON", "can't be read as a list of labels"),
        (b"\xff\xfe\xff", "can't be read as a list of labels"),
        (b"", "two labels or more, not 0"),
    ],
)
def test_files_that_are_no_labels(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    torch.save(network().state_dict(), tmp_path / "net.pt")
    assert run(tmp_path / "net.pt", labels=("--labels", str(tmp_path / "labels.txt"))) in (1, 2)
    assert message in capsys.readouterr().err
