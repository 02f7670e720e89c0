"""`fanlight score`: rows as the service answers, in files that are the same however they came."""

import csv
import io
import json
import os
from base64 import b64encode
from collections.abc import Callable, Generator, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from fanlight.command import main
from fanlight.scoring import on_ray, processes, shards
from fanlight.scoring.folder import LOCK, MANIFEST, Folder
from fanlight.scoring.processes import ScorerError
from fanlight.scoring.rows import COLUMNS, Row
from fanlight.scoring.scorer import Job, Scorer
from fanlight.scoring.sources import opening, places
from fanlight.scoring.work import Done, Work, done
from models import checkpoint, files
from models.errors import FanlightError
from service.app import create_app
from service.images.decoding import Decoder
from service.settings import Settings
from tests.fanlight.scoring import sources
from tests.networks import encode, publish_tiny
from tests.trusted import familiar, image, publish_trusted, strange

IMAGES = sources.images(23) | {
    "familiar.png": encode(image(familiar(3, 1)[0])),
    "strange.png": encode(image(strange(1)[0])),
    "=formula.png": encode(image(familiar(4, 1)[0])),
}
Told = Callable[[int], None]


def in_this_process(
    job: Job, work: Iterable[Work], count: int, tell: Told, most: int | None = None
) -> Generator[Done]:
    """Score as `processes.run` does, without processes; fail after `most` shards."""
    with Scorer(job) as scorer:
        for number, each in enumerate(work):
            if number == most:
                raise ScorerError("broken off")
            yield done(scorer, each, tell)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with images in `images` and models in `checkpoints`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "run", in_this_process)
    publish_trusted(tmp_path / "checkpoints", "trusted")
    publish_tiny(tmp_path / "checkpoints", "colors")
    sources.folder(tmp_path / "images", IMAGES)
    return tmp_path


def rows(out: str | Path) -> list[dict[str, Any]]:
    parts = sorted(Path(out).glob("part-*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def contents(out: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(out).glob("part-*")}


def score(*words: str) -> int:
    return main(["score", "images", "--model", "trusted", *words])


def told(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as the service's JSON has it: without what is not there."""
    return {
        name: row[name]
        for name in ("label", "top", "score", "familiarity", "unsure", "why", "set", "warnings")
        if row[name] is not None
    }


def close(found: Any, expected: Any) -> bool:
    """Compare answers; a probability may differ as it does between sizes of batches."""
    if isinstance(expected, float):
        return bool(found == pytest.approx(expected, abs=1e-6))
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[k], expected[k]) for k in found)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return bool(found == expected)


def test_rows_are_the_answers_and_errors_of_the_service(place: Path) -> None:
    app = create_app(Settings(repository=(place / "checkpoints",), device="cpu"))
    with TestClient(app) as client:
        assert client.portal is not None
        client.portal.call(app.state.repository.loaded)
        for model in ("trusted", "colors"):
            line = ["score", "images", "--model", model, "--out", model, "--top-k", "2"]
            assert main(line) == 0
            found = rows(model)
            _check_answers(client, model, found)
            whys = {row["why"] for row in found}
            assert whys == ({None, "unfamiliar", "ambiguous"} if model == "trusted" else {None})
            assert any(row["warnings"] for row in found) == (model == "trusted")


def _check_answers(client: TestClient, model: str, found: list[dict[str, Any]]) -> None:
    """Compare rows with the answers for the same images, one in a request."""
    statuses = set()
    assert [row["index"] for row in found] == list(range(len(IMAGES)))
    assert [row["path"] for row in found] == [f"images/{name}" for name in sorted(IMAGES)]
    for row, name in zip(found, sorted(IMAGES), strict=True):
        body = {"images": [b64encode(IMAGES[name]).decode()]}
        answer = client.post(f"/v1/models/{model}/predict?top_k=2", json=body)
        if answer.status_code == 200:
            [prediction] = answer.json()["predictions"]
            assert close(told(row), prediction)
            assert row["status"] is row["error"] is None
        else:
            [fault] = answer.json()["errors"]
            assert (row["status"], row["error"]) == (answer.status_code, fault["reason"])
            assert told(row) == {}
        statuses.add(answer.status_code)
    assert statuses == {200, 415, 422}


def test_limits_are_those_of_the_service(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANLIGHT_MAX_IMAGE_PIXELS", "100")
    monkeypatch.setenv("FANLIGHT_MAX_BODY_BYTES", "4096")
    sources.folder(place / "images", {"long.png": b"x" * 4097})
    assert score("--out", "out") == 0
    found = {Path(row["path"]).name: row for row in rows("out")}
    jpeg = next(name for name, content in IMAGES.items() if content.startswith(b"\xff\xd8"))
    assert found[Path(jpeg).name]["status"] == 413
    assert "(setting max_image_pixels)" in found[Path(jpeg).name]["error"]
    assert found["long.png"]["error"] == (
        "the file is larger than 4,096 bytes (setting max_body_bytes)"
    )


def test_each_kind_of_source_gives_the_same_rows(place: Path) -> None:
    names = sorted(IMAGES)
    found = [IMAGES[name] for name in names]
    sources.zipped(place / "x.zip", {name: IMAGES[name] for name in names})
    sources.table(place / "x.csv", ["path"], [[f"images/{name}"] for name in names])
    sources.parquet(place / "x.parquet", image=found, path=names)
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/scored/{name}": IMAGES[name] for name in names})
    answers = []
    try:
        for number, source in enumerate(
            ("images", "images/**/*.png", "x.zip", "x.csv", "x.parquet", "memory://scored")
        ):
            line = ["score", source, "--model", "trusted", "--out", str(number)]
            assert main([*line, "--shard-size", "10"]) == 0
            answers.append([(row["path"], told(row), row["error"]) for row in rows(str(number))])
    finally:
        memory.rm("/scored", recursive=True)
    expected = sorted(answers[0], key=lambda each: str(each[0]))
    for each in answers[1:]:
        each = sorted(each, key=lambda one: f"images/{one[0]}".replace("images/images", "images"))
        assert [row[1:] for row in each] == [row[1:] for row in expected]


def test_a_run_that_was_broken_off_goes_on_to_equal_files(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ("--shard-size", "6")
    assert score("--out", "whole", *size) == 0
    monkeypatch.setattr(processes, "run", partial(in_this_process, most=2))
    assert score("--out", "out", *size) == 1
    assert "error: broken off" in capsys.readouterr().err
    assert len(contents("out")) == 2
    Path("out/part-000001.parquet").write_bytes(b"PAR1 torn by a disk")
    Path(f"out/{files.DRAFT}{'0' * 32}").write_bytes(b"of a killed process")
    kept = Path("out/part-000000.parquet").stat()
    monkeypatch.setattr(processes, "run", in_this_process)
    assert score("--out", "out", *size) == 0
    assert "1 of 5 files are there already" in capsys.readouterr().out
    assert Path("out/part-000000.parquet").stat() == kept
    assert contents("out") == contents("whole")
    assert {path.name for path in Path("out").iterdir()} == {LOCK, MANIFEST, *contents("whole")}
    assert score("--out", "out", *size) == 0
    assert "5 of 5 files are there already" in capsys.readouterr().out


def test_shards_do_not_depend_on_the_order_of_work(place: Path) -> None:
    assert score("--out", "one", "--shard-size", "5") == 0
    assert score("--out", "two", "--shard-size", "5") == 0
    for name in ("part-000001.parquet", "part-000003.parquet"):
        Path("two", name).unlink()
    assert score("--out", "two", "--shard-size", "5") == 0
    assert contents("one") == contents("two")
    assert Path("one", MANIFEST).read_bytes() == Path("two", MANIFEST).read_bytes()


def test_a_folder_of_another_run_is_not_written_to(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert score("--out", "out") == 0
    before = contents("out")
    for words, different in (
        (["--top-k", "3"], "options.top_k was 5 and is 3"),
        (["--format", "csv"], "options.format was parquet and is csv"),
        (["--shard-size", "7"], "shard_size was 1000 and is 7; shards was 1 and is 4"),
        (["--model", "colors"], "model.name was trusted and is colors"),
    ):
        assert score("--out", "out", *words) == 1
        error = capsys.readouterr().err
        assert f"error: out has the rows of another run: {different}" in error
        assert "Name another folder as --out, or delete this one" in error
    with monkeypatch.context() as patch:
        patch.setenv("FANLIGHT_COVERAGE", "0.5")
        assert score("--out", "out") == 1
        assert "options.coverage was none and is 0.5" in capsys.readouterr().err
    Path("images/familiar.png").write_bytes(IMAGES["strange.png"])
    assert score("--out", "out") == 1
    assert "source.sha256 was " in capsys.readouterr().err
    assert contents("out") == before


def test_two_runs_at_once_and_files_of_others(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Folder(place / "out", "parquet").locked():
        assert score("--out", "out") == 1
    assert "out is being written by another process: wait" in capsys.readouterr().err
    Path("other").mkdir()
    Path("other/part-1.parquet").touch()
    assert score("--out", "other") == 1
    assert "has no _manifest.json, but part-1.parquet: name an empty" in capsys.readouterr().err
    Path("file").touch()
    assert score("--out", "file") == 1
    assert "error: file: " in capsys.readouterr().err


def test_a_csv_has_lists_as_json_and_no_formulas(place: Path) -> None:
    assert score("--out", "out", "--format", "csv") == 0
    assert score("--out", "same") == 0
    text = Path("out/part-000000.csv").read_text()
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(found[0]) == COLUMNS
    for one, other in zip(found, rows("same"), strict=True):
        for name in ("top", "set", "warnings", "unsure", "score", "familiarity", "status"):
            assert (json.loads(one[name]) if one[name] else None) == other[name]
        for name in ("path", "label", "why", "error"):
            assert one[name] == (other[name] or "")


def test_formulas_in_names_are_text() -> None:
    [_, line] = csv.reader(io.StringIO(shards.encode([Row(0, "=1+1")], "csv").decode()))
    assert line[1] == "'=1+1"


def test_names_that_are_no_text_are_kept_as_far_as_possible(place: Path) -> None:
    Path("odd").mkdir()
    Path("odd/a\udcff.png").write_bytes(IMAGES["familiar.png"])
    for format in shards.FORMATS:
        line = ["score", "odd", "--model", "trusted", "--format", format, "--out", format]
        assert main(line) == 0
    [row] = rows("parquet")
    assert (row["path"], row["error"]) == ("odd/a?.png", None)
    assert "odd/a?.png" in Path("csv/part-000000.csv").read_text()


def test_the_end_says_what_was_done(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "images" / "notes.txt").write_text("x")
    assert score("--out", "out", "--shard-size", "20") == 0
    out = capsys.readouterr().out
    assert "left out: 1 file of another kind than images: notes.txt" in out
    failed = sum(row["error"] is not None for row in rows("out"))
    unsure = sum(row["unsure"] is True for row in rows("out"))
    assert f"; {26 - failed} answered, {unsure} of them unsure; {failed} not: the column" in out
    assert "written to out: 2 files of rows, and _manifest.json" in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere", "--model", "trusted", "--out", "o"], 2, "there is no 'nowhere'"),
        (["images", "--model", "trustd", "--out", "o"], 1, "did you mean 'trusted'?"),
        (["images", "--model", "trusted", "--version", "7", "--out", "o"], 1, "7"),
        (["images", "--model", "trusted", "--top-k", "0", "--out", "o"], 2, "--top-k must be 1"),
        (["images", "--model", "trusted", "--processes", "0", "--out", "o"], 2, "--processes must"),
        (["images", "--model", "trusted", "--format", "xml", "--out", "o"], 2, "there are parquet"),
        (["images", "--model", "trusted", "--device", "x", "--out", "o"], 2, "no device 'x'"),
        (["images", "--model", "trusted", "--out", ""], 2, "the path is empty"),
        (
            ["images", "--model", "trusted", "--ray", "--device", "cuda:1", "--out", "o"],
            2,
            "cuda:1",
        ),
        (["memory://x", "--model", "trusted", "--ray", "--out", "o"], 2, "leave out --ray"),
        (["images", "--model", "trusted"], 2, "--out is missing"),
        (["images", "--out", "o"], 2, "--model is missing; for example: fanlight score"),
    ],
)
def test_wrong_lines_are_refused_before_anything_is_written(
    words: list[str], code: int, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", *words]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert not Path("o").exists()


def test_a_wrong_setting_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FANLIGHT_MAX_IMAGE_PIXELS", "many")
    assert score("--out", "out") == 2
    error = capsys.readouterr().err
    assert "max_image_pixels: " in error
    assert "(variable FANLIGHT_MAX_IMAGE_PIXELS)" in error


def test_secrets_are_not_sent_to_other_machines(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANLIGHT_API_KEY", "secret")
    jobs = []

    def run(job: Job, *given: Any) -> Generator[Done]:
        jobs.append(job)
        return in_this_process(job, *given)

    monkeypatch.setattr(on_ray, "run", run)
    assert score("--out", "out", "--ray") == 0
    assert jobs[0].settings.api_key is None


def test_a_source_that_is_no_text_is_kept_as_far_as_possible(place: Path) -> None:
    name = os.fsdecode(b"b\xff")
    Path("images").rename(name)
    assert main(["score", name, "--model", "colors", "--out", "out"]) == 0
    assert files.read_object(Path("out", MANIFEST))["source"]["given"] == "b?"


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:9/a.png?X-Amz-Signature=secret", "https://me:secret@127.0.0.1:9/b"]
)
def test_secrets_in_urls_are_not_repeated(
    url: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "PAUSE", 0.0)
    sources.table(place / "t.csv", ["path"], [[url]])
    assert main(["score", "t.csv", "--model", "colors", "--out", "out"]) == 0
    [row] = rows("out")
    assert row["path"] == url
    assert "could not be fetched" in row["error"]
    assert main(["score", url, "--model", "colors", "--out", "other"]) == 1
    assert "secret" not in row["error"] + str(capsys.readouterr())


@pytest.mark.parametrize("out", ["s3://bucket/out", "file:///out"])
def test_rows_are_written_to_this_machine(
    out: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score("--out", out) == 2
    assert "is no folder of this machine: name one" in capsys.readouterr().err
    assert not Path(out.partition("/")[0]).exists()


def test_an_error_while_the_next_batch_is_read_is_not_lost(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise FanlightError("the real error")

    monkeypatch.setattr(Decoder, "decode_now", fails)
    job = Job(checkpoint.find(place / "checkpoints", "colors"), Settings(), 1)
    piece = opening.opened("images", None).piece(0, 20)
    with Scorer(job) as scorer, pytest.raises(FanlightError, match="the real error"):
        scorer.score(piece, 0)
