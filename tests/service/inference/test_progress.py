"""What is told of progress rises, and never passes the total."""

from service.inference.progress import Progress


def test_passes_of_images() -> None:
    told: list[tuple[int, int]] = []
    progress = Progress(2, 10, lambda done, total: told.append((done, total)))
    progress.ran(1)
    progress.ran(8)
    progress.finished(1)  # one fewer than announced
    progress.finished(1)
    progress.ran(15)  # and more
    progress.finished(2)
    assert told == [(0, 20), (1, 20), (9, 20), (10, 20), (20, 20)]
