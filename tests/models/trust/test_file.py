"""trust.safetensors gives back what was written, and nothing else is read."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from models.trust import Answers, Trust, TrustError, file, fit
from tests.models.trust.answers import CLASSES, answers, features_of, trust

TRUST = trust()
CONTENT = file.to_bytes(TRUST)
Change = Callable[[dict[str, Tensor]], object]


def read(content: bytes, of: Trust = TRUST) -> Trust:
    return file.read(io.BytesIO(content), of.calibration, of.familiarity, CLASSES)


def changed(change: Change) -> bytes:
    tensors = {name: each.clone() for name, each in safetensors.torch.load(CONTENT).items()}
    change(tensors)
    content: bytes = safetensors.torch.save(tensors)
    return content


class TestRead:
    def test_it_answers_as_before(self) -> None:
        asked, again = answers(200, seed=7), read(CONTENT)
        statistic = TRUST.statistic(asked.logits, features_of(asked))
        assert torch.equal(again.statistic(asked.logits, features_of(asked)), statistic)
        np.testing.assert_array_equal(
            again.pvalues(statistic.numpy()), TRUST.pvalues(statistic.numpy())
        )
        shares = TRUST.probabilities(asked.logits).numpy()
        np.testing.assert_array_equal(again.sets(shares, 0.9), TRUST.sets(shares, 0.9))

    def test_what_is_read_is_written_again_byte_for_byte(self) -> None:
        assert file.to_bytes(read(CONTENT)) == CONTENT

    def test_a_trust_without_familiarity(self) -> None:
        some = answers(600, seed=1)
        bare = fit(Answers(some.logits, torch.ones(600, 4), some.targets), "made up").trust
        assert bare is not None
        again = read(file.to_bytes(bare), bare)
        assert again.method is None
        assert again.familiarity is None
        with pytest.raises(TrustError, match="nothing needs"):
            read(CONTENT, bare)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\0" * 7,
            b"\xff" * 100,
            CONTENT[:100],
            CONTENT[:-1],
            CONTENT + b"\0",
            b"\x02" + bytes(7) + b"{}",
            b"\x02" + bytes(7) + b"[]",
            b"\x04" + bytes(7) + b"null",
            b"\x10" + bytes(7) + b'{"a": {"b": 1}} ',
            b"PK\x03\x04" + bytes(60),
            (2**62).to_bytes(8, "little") + bytes(60),
        ],
    )
    def test_bytes_that_are_no_such_file_are_refused(self, content: bytes) -> None:
        with pytest.raises(TrustError, match=r"trust\.safetensors"):
            read(content)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda t: t.pop("statistics"), "has no tensors"),
            (lambda t: t.pop("label_ranks"), "has no tensors"),
            (lambda t: t.update(more=torch.ones(1)), "nothing needs"),
            (lambda t: t.update({"method.more": torch.ones(1)}), "has the tensors"),
            (lambda t: t.pop("method.axes"), "has the tensors"),
            (lambda t: t.update({"method.axes": torch.ones(2, 5)}), "don't fit"),
            (lambda t: t.update({"method.axes": torch.ones(5)}), "don't fit"),
            (lambda t: t.update({"method.means": torch.ones(4, 8)}), "more of them than labels"),
            (lambda t: t.update({"method.means": torch.ones(0, 8)}), "no class mean"),
            (lambda t: t["method.center"].fill_(torch.nan), "not finite"),
            (lambda t: t["statistics"].fill_(torch.inf), "not finite"),
            (lambda t: t.update(statistics=t["statistics"].flip(0)), "rising"),
            (lambda t: t.update(ranks=t["ranks"][:-1].clone()), "rising"),
            (lambda t: t.update(ranks=t["ranks"] + 1), "doesn't count"),
            (lambda t: t.update(ranks=t["ranks"] - 0.5), "doesn't count"),
            (lambda t: t.update(label_scores=t["label_scores"].double()), "float32"),
            (lambda t: t.update(label_scores=t["label_scores"][:, None].clone()), "rising"),
        ],
    )
    def test_tensors_that_do_not_fit_the_card_are_refused(self, change: Change, told: str) -> None:
        with pytest.raises(TrustError, match=told):
            read(changed(change))

    def test_no_more_is_read_than_the_file_may_have(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file, "MAX_BYTES", len(CONTENT) - 1)
        with pytest.raises(TrustError, match="at most"):
            read(CONTENT)
        with pytest.raises(TrustError, match="at most"):
            file.to_bytes(TRUST)

    def test_a_method_of_no_such_name_is_refused(self) -> None:
        assert TRUST.familiarity is not None
        unknown = TRUST.familiarity.model_copy(update={"method": "gausian"})
        with pytest.raises(TrustError, match="gaussian"):
            file.read(io.BytesIO(CONTENT), TRUST.calibration, unknown, CLASSES)
