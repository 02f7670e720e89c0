"""Settings: environment and flags, one name for both."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import uvicorn
from pydantic import SecretStr, ValidationError

from models.errors import FanlightError
from service import launch
from service.__main__ import main
from service.settings import SHIPPED, Settings


def test_defaults_listen_to_this_machine_only() -> None:
    settings = Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.repositories == (Path("checkpoints"), SHIPPED)
    assert settings.api_key is None
    assert settings.watch_interval == 2


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANLIGHT_MAX_BATCH_SIZE", "7")
    monkeypatch.setenv("FANLIGHT_MAX_IMAGES", "9")
    served: list[Settings] = []
    monkeypatch.setattr(launch, "serve", served.append)
    assert main(["--max-batch-size", "8", "--port", "0"]) == 0
    (settings,) = served
    assert (settings.max_batch_size, settings.max_images) == (8, 9)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANLIGHT_API_KEY", "")
    assert Settings().api_key is None


class TestRepository:
    def test_several_are_told_to_workers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for folders in ([Path("a"), Path("b c")], [Path("a:b"), Path("[c")]):
            settings = Settings(repository=folders)
            monkeypatch.setenv("FANLIGHT_REPOSITORY", settings.environment()["FANLIGHT_REPOSITORY"])
            assert Settings().repositories == tuple(folders)

    @pytest.mark.parametrize("text", [f"a{os.pathsep}b", '["a", "b"]'])
    def test_a_variable_names_several(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FANLIGHT_REPOSITORY", text)
        assert Settings().repositories == (Path("a"), Path("b"))

    @pytest.mark.parametrize("text", ["[", "[1]", os.pathsep, "[]"])
    def test_a_variable_that_names_none_is_told(
        self, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FANLIGHT_REPOSITORY", text)
        assert main([]) == 2
        assert "(variable FANLIGHT_REPOSITORY)" in capsys.readouterr().err

    def test_the_same_folder_counts_once(self, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(tmp_path)
        settings = Settings(repository=[tmp_path, link, tmp_path / "."])
        assert settings.repositories == (tmp_path,)

    @pytest.mark.parametrize(
        ("names", "told"),
        [
            (["nowhere", "neither"], "none of the folders"),
            (["there", "file"], "is a file"),
            ([""], "the path is empty"),
        ],
    )
    def test_a_folder_that_can_not_be_is_refused(
        self,
        names: list[str],
        told: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("there").mkdir()
        Path("file").touch()
        assert main([word for name in names for word in ("--repository", name)]) == 2
        assert told in capsys.readouterr().err

    def test_one_of_two_may_come_later(self, tmp_path: Path) -> None:
        assert launch.refusal(Settings(repository=[tmp_path / "later", tmp_path], port=0)) is None
        assert launch.refusal(Settings(port=0)) is None


def test_workers_start_with_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        api_key=SecretStr("sesame"),
        threads=3,
        repository=Path("elsewhere"),
        architectures=("nets.mine", "nets.yours"),
        trusted_proxies=("10.0.0.7", "10.1.0.0/16"),
        cors_origins=("https://example.org", "http://localhost:3000"),
        root_path="/fanlight",
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_the_key_is_not_shown() -> None:
    assert "sesame" not in repr(Settings(api_key=SecretStr("sesame")))


def test_a_request_must_fit_into_the_queue() -> None:
    with pytest.raises(ValidationError, match=r"max_images \(9\) .* max_queue_size \(8\)"):
        Settings(max_images=9, max_queue_size=8)


def test_help_tells_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    help = capsys.readouterr().out
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')} " in help
    assert "FANLIGHT_" in help


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "x"], "port: should be a whole number, not 'x'"),
        (["--max-batch-size", "0"], "--max-batch-size: should be at least 1, not '0'"),
        (["--max-body-bytes", "0"], "--max-body-bytes: should be at least 1 KiB, not '0'"),
        (["--max-body-bytes", "0"], "See fanlight serve --help"),
        (["--access-log", "of"], "--access-log: should be on or off, not 'of'"),
        (["--repository", ""], "--repository: the path is empty"),
        (["--graph-cache", ""], "--graph-cache: the path is empty"),
        (["--tls-certificate", ""], "--tls-certificate: the path is empty"),
        (["--version"], "no option --version here: fanlight --version"),
        (["--watch-interval", "-1"], "--watch-interval: "),
        (["--watch-interval", "nan"], "--watch-interval: "),
        (["--repository", "nowhere"], "fanlight fit"),
        (["--device", "abacus"], "(setting device)"),
        (["--tls-certificate", "chain.pem"], "tls_certificate needs tls_key too"),
        (["--tls-key", "key.pem"], "tls_key needs tls_certificate too"),
        (
            ["--tls-certificate", "no.pem", "--tls-key", "no.key"],
            "no.pem: No such file or directory (settings tls_certificate and tls_key)",
        ),
        (["--api-key-file", "no"], "no: No such file or directory (setting api_key_file)"),
        (["--api-key-file", ""], "--api-key-file: the path is empty"),
        (["--metrics-access", "key"], "needs api_key or api_key_file"),
        (["--port", "9000", "--metrics-port", "9000"], "metrics_port must not be port (9000)"),
        (["--rate-burst", "3"], "rate_burst needs rate_limit"),
        (["--rate-limit", "0"], "--rate-limit: "),
        (["--rate-limit", "nan"], "--rate-limit: "),
    ],
)
def test_what_can_not_be_started_is_told_in_a_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = [] if "--repository" in arguments else ["--repository", str(tmp_path)]
    assert main([*repository, "--port", "0", *arguments]) == 2
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
        f"error: can't listen on 127.0.0.1:{port}: Address already in use; choose another "
        "port, or 0 for any (settings host and port)\n"
    )


def test_what_starts_workers_does_not_import_torch() -> None:
    """It would take a second, and as much memory as a worker has."""
    program = "import sys, service.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_garbage_is_collected_where_the_program_is_only_imported() -> None:
    program = "import gc, sys, service.__main__; sys.exit(not gc.isenabled())"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FanlightError("the device is gone: take another"), "the device is gone: take another"),
        (PermissionError(13, "Permission denied", "models/1"), "models/1: Permission denied"),
    ],
    ids=["ours", "of the file system"],
)
def test_an_error_that_the_user_can_mend_while_it_runs(
    error: Exception,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(uvicorn.Server, "run", raising(error))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert main(["--repository", str(tmp_path), "--port", "0"]) == 2
    assert capsys.readouterr().err == f"error: {told}\n"


@pytest.mark.parametrize("error", [ValueError("x"), OSError("no path")], ids=repr)
def test_a_bug_keeps_its_traceback(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn.Server, "run", raising(error))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(type(error)) as raised:
        main(["--repository", str(tmp_path), "--port", "0"])
    assert raised.value is error


def raising(error: Exception) -> Callable[..., None]:
    def run(*_: object, **__: object) -> None:
        raise error

    return run


@pytest.mark.parametrize("key", ["", " ", "\t"])
def test_an_empty_key_never_opens_the_service(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--api-key "$KEY"` without such a variable."""
    assert main(["--repository", str(tmp_path), "--api-key", key]) == 2
    assert "--api-key: is empty; give a key" in capsys.readouterr().err


GiveKey = Callable[[str], list[str]]


@pytest.fixture(params=["option", "variable"])
def give_key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> GiveKey:
    """Gives the API key as a variable, or returns the words that give it as an option."""

    def give(key: str) -> list[str]:
        if request.param == "option":
            return ["--api-key", key]
        monkeypatch.setenv("FANLIGHT_API_KEY", key)
        return []

    return give


@pytest.mark.parametrize("key", [" ", "   ", "\t"])
def test_a_blank_key_is_refused_and_not_repeated(
    key: str, give_key: GiveKey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--repository", str(tmp_path), *give_key(key)]) == 2
    error = capsys.readouterr().err
    assert "is empty; give a key" in error
    assert ", not " not in error
    assert repr(key) not in error


@pytest.mark.parametrize(
    "wrong",
    [
        ["--max-batch-size", "0"],
        ["--port", "9000", "--metrics-port", "9000"],  # of all settings together
        ["--rate-burst", "3"],
    ],
    ids=lambda words: words[0],
)
def test_the_key_is_not_in_the_error_of_another_setting(
    wrong: list[str],
    give_key: GiveKey,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--repository", str(tmp_path), *give_key("sesame"), *wrong]) == 2
    error = capsys.readouterr().err
    assert wrong[-2].removeprefix("--") in error.replace("_", "-")
    assert "sesame" not in error


@pytest.mark.parametrize("host", ["", " ", "é" * 70, "a\0b", "a..b", "300.1.1.1", "*"])
def test_what_is_no_address(host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--repository", str(tmp_path), "--host", host]) == 2
    assert "settings host and port" in capsys.readouterr().err


def test_a_password_in_an_address_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--repository", "s3://me:hunter2@bucket/models"]) == 2
    told = capsys.readouterr().err
    assert "holds a user or password" in told
    assert "hunter2" not in told
