"""Short trainings by the command `fit`, on a folder of colours."""

from pathlib import Path

from fanlight.command import main


class Fit:
    """`fit` on a folder of colours, by the arguments of a test."""

    def __init__(self, folder: Path, dataset: Path) -> None:
        self.repository, self.runs, self.dataset = folder / "repository", folder / "runs", dataset

    def __call__(
        self, *arguments: str, recipe: str = "mnist-cnn", dataset: Path | None = None
    ) -> int:
        return main(
            [
                *("fit", recipe, "--name", "colors", "--dataset", str(dataset or self.dataset)),
                *("--architecture", "tiny", "--epochs", "2", "--batch-size", "8"),
                *("--repository", str(self.repository), "--runs", str(self.runs)),
                *("--device", "cpu", *arguments),
            ]
        )

    def run_folder(self) -> Path:
        (folder,) = (self.runs / "colors").iterdir()
        return folder

    def version(self, version: int) -> Path:
        return self.repository / "colors" / str(version)
