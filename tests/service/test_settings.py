"""Settings: environment and flags, one name for both."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_settings import CliApp

from service.__main__ import main
from service.settings import SHIPPED, Settings


def test_defaults_listen_to_this_machine_only() -> None:
    settings = Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.repository == SHIPPED
    assert settings.api_key is None
    assert settings.watch_interval == 2


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANLIGHT_MAX_BATCH_SIZE", "7")
    monkeypatch.setenv("FANLIGHT_MAX_IMAGES", "9")
    settings = CliApp.run(Settings, cli_args=["--max-batch-size", "8"])
    assert (settings.max_batch_size, settings.max_images) == (8, 9)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANLIGHT_API_KEY", "")
    assert Settings().api_key is None


def test_workers_start_with_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(api_key=SecretStr("sesame"), threads=3, repository=Path("elsewhere"))
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_the_key_is_not_shown() -> None:
    assert "sesame" not in repr(Settings(api_key=SecretStr("sesame")))


def test_a_request_must_fit_into_the_queue() -> None:
    with pytest.raises(ValidationError, match=r"max_images \(9\) .* max_queue_size \(8\)"):
        Settings(max_images=9, max_queue_size=8)


def test_help_tells_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["--help"])
    assert exit.value.code == 0
    help = capsys.readouterr().out
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')} " in help
    assert "FANLIGHT_" in help


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "x"], "port: "),
        (["--max-batch-size", "0"], "max_batch_size: "),
        (["--watch-interval", "-1"], "watch_interval: "),
        (["--watch-interval", "nan"], "watch_interval: "),
        (["--repository", "nowhere"], "python -m training fit"),
        (["--device", "abacus"], "(setting device)"),
    ],
)
def test_what_can_not_be_started_is_told_in_a_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--repository", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert told in error
    assert "Traceback" not in error


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        arguments = ["--repository", str(tmp_path), "--port", port, "--workers", workers]
        assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error == (
        f"error: can't listen at 127.0.0.1:{port}: Address already in use "
        "(settings host and port)\n"
    )


def test_what_starts_workers_does_not_import_torch() -> None:
    """It would take a second, and as much memory as a worker has."""
    program = "import sys, service.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_garbage_is_collected_where_the_program_is_only_imported() -> None:
    program = "import gc, sys, service.__main__; sys.exit(not gc.isenabled())"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
