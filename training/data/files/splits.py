"""Recognition of splits in names of folders or cells of tables: `Train`, `x_test`, `val2017`.

    name → words without accents, numbers and separators → the split, and the other words

The words are those of English and of the languages that have many users of such folders.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

_WORDS: Mapping[Split, str] = {
    "train": (
        "train trn training trainings trainval learn learning entrenamiento entreno treino "
        "treinamento entraînement apprentissage übung uebung übungen addestramento allenamento "
        "opleiding träning træning trening eğitim обучение обучающая тренировка тренировочная "
        "训练 訓練 学習 學習 훈련 학습 تدريب"
    ),
    "validation": (
        "val valid validation validate validating dev development validación validação validazione "
        "validierung validatie walidacja doğrulama валидация валидационная 验证 驗證 検証 검증 تحقق"
    ),
    "test": (
        "test tst testing tests prueba pruebas teste testes prova prüfung pruefung prüfungen "
        "essai essais тест тесты тестовая тестирование 测试 測試 テスト 시험 테스트 اختبار"
    ),
}
_BEFORE = "seg|img|images?|imgs?|data|dataset|x"
_AFTER = (
    "seg|img|images?|imgs?|data|datasets?|sets?|folder|s?daten|s?bilder|s?satz|s?menge|"
    "集|数据|数据集|データ|画像|用"
)
_FILLERS = (
    "seg img imgs image images data dataset datasets set sets split splits subset folder x percent "
    "pct photo photos picture pictures pics de di do du d des le la daten bilder datos imagenes "
    "conjunto dados imagens donnees jeu dati immagini 数据 数据集 データ 画像 集"
)
_BOUNDARY = r"[\W_]+|(?<=[a-zß-ÿ])(?=[A-Z])"  # separators, and capitals inside of a word


def _plain(text: str) -> str:
    """Convert text to lower case without accents."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(c for c in parts if not unicodedata.category(c).startswith("M")).casefold()


def _pattern(words: str) -> re.Pattern[str]:
    after = _plain(_AFTER)
    return re.compile(f"(?:{_BEFORE})?(?:{'|'.join(_plain(words).split())})(?:{after})?(?:sets?)?")


_PATTERNS = {split: _pattern(words) for split, words in _WORDS.items()}
_IGNORED = frozenset(_plain(_FILLERS).split())


class Reading(NamedTuple):
    """A split found in a name; `rest` are the other words, `label` is how the name writes them.

    For `guinea-pig_train`, `rest` is (guinea, pig) and `label` is guinea-pig.
    """

    split: Split
    rest: tuple[str, ...]
    label: str


def split_of(name: str) -> Split | None:
    """Return the split that a name stands for; None if it has other words, or names no split."""
    found = reading(name)
    return found.split if found is not None and not found.rest else None


def reading(name: str) -> Reading | None:
    """Find the split in a name; return None if there is no split, or more than one.

    Train and validation in one name, as in train_val, count as train.
    """
    pieces = re.split(f"({_BOUNDARY})", unicodedata.normalize("NFC", name))
    splits = [_split_in(piece) for piece in pieces]
    found = {split for split in splits if split is not None}
    if found == {"train", "validation"}:  # train_val, beside test
        found = {"train"}
    if len(found) != 1:
        return None
    others = [piece for piece, split in zip(pieces, splits, strict=True) if split is None]
    rest = [word for piece in others for word in _words(piece) if word not in _IGNORED]
    return Reading(found.pop(), tuple(rest), "".join(others).strip(" _-.,()[]"))


def _split_in(piece: str) -> Split | None:
    words = _words(piece)
    return next(
        (split for split in SPLITS if any(map(_PATTERNS[split].fullmatch, words))),
        None,
    )


def _words(piece: str) -> list[str]:
    """Return the runs of letters in a piece of a name, in lower case without accents."""
    return re.findall(r"[^\W\d_]+", _plain(piece))
