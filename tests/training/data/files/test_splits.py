"""Which split a name stands for."""

import pytest

from training.data.files.splits import Split, reading, split_of


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, "train") for name in ("train2017", "x_train", "90% train", "Übung")),
        *((name, "train") for name in ("entrenamiento", "обучение", "訓練データ", "XTrain")),
        *((name, "validation") for name in ("val2017", "Valid", "dev-set", "検証")),
        *((name, "test") for name in ("test (1)", "10% test", "Prüfung", "prueba", "тест")),
        *((name, None) for name in ("fold1", "contest", "invalid", "straining", "2017", "", "%")),
        *((name, None) for name in ("cats-train", "test tube", "train_test")),
    ],
)
def test_names(name: str, split: Split | None) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("name", "split", "rest", "label"),
    [
        ("cats-train", "train", ("cats",), "cats"),
        ("TestCats", "test", ("cats",), "Cats"),
        ("guinea_pig train", "train", ("guinea", "pig"), "guinea_pig"),
        ("val 2", "validation", (), "2"),
    ],
)
def test_words_beside(name: str, split: Split, rest: tuple[str, ...], label: str) -> None:
    assert reading(name) == (split, rest, label)
