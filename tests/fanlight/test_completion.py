"""Completion of words in a shell."""

import pytest

from fanlight.command import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert f"_FANLIGHT_COMPLETE={shell}_complete" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("fanlight ev", ["evaluate"]),
        (
            "fanlight fit fashion-mnist-le",
            ["fashion-mnist-lenet", "fashion-mnist-lenet-dropout", "fashion-mnist-lenet-plain"],
        ),
        ("fanlight fit mnist --sche", ["--schedule"]),
        ("fanlight fit mnist --optimizer a", ["adam"]),
        ("fanlight visualize fe", ["features"]),
        ("fanlight fit mnist --architecture lenet-", ["lenet-plain"]),
        ("fanlight import weights.pt --architecture torchvision/alex", ["torchvision/alexnet"]),
        ("fanlight evaluate mnist-", ["mnist-cnn"]),
        ("fanlight visualize kernels birds-vs-planes-", ["birds-vs-planes-batchnorm"]),
        (
            "fanlight evaluate mnist --dataset fashion-",
            ["fashion-mnist", "fashion-mnist-inverted", "fashion-mnist-on-white"],
        ),
        ("fanlight visualize dataset mn", ["mnist", "mnist-inverted"]),
        ("fanlight profile mnist-c", ["mnist-cnn"]),
        ("fanlight evaluate mnist --device cp", ["cpu"]),
        ("fanlight serve --max-im", ["--max-images", "--max-image-pixels"]),
    ],
)
def test_words_are_completed(
    line: str,
    completed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_FANLIGHT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.split()
    words = [word.removeprefix("plain,") for word in lines if word.startswith("plain,")]
    assert sorted(set(words)) == sorted(completed)
