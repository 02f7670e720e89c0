"""A short run of the fuzzer; `python -m benchmarks.soak.fuzz` is the long one."""

import pytest

from benchmarks.soak import fuzz


@pytest.mark.slow
def test_mutated_images_are_answered() -> None:
    report = fuzz.run(1500, seed=1, seconds=20)
    assert not report.failures
    outcomes = {kind for _, kind in report.outcomes}
    assert outcomes >= {"pixels", "422"}
    assert outcomes <= {"pixels", "413", "415", "422", "503"}
    assert {format for format, _ in report.outcomes} == {
        *("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF"),
    }


def test_inputs_can_be_made_again() -> None:
    assert [fuzz.mutated(3, each) for each in range(50)] == [
        fuzz.mutated(3, each) for each in range(50)
    ]
    assert len({fuzz.mutated(3, each)[1] for each in range(200)}) > 150


def test_what_is_raised_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run fails if anything but pixels and errors of the service comes."""
    monkeypatch.setattr("service.images.decoding.sniff", lambda _: 1 / 0)
    report = fuzz.run(20, seed=1)
    assert report.failures
