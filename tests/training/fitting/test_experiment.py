"""A session trains, measures on all sets, and leaves a run folder that tells what came out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.architectures.registry import ArchitectureError
from models.preprocessing import InputSpec
from tests.networks import LABELS, SPEC, Tiny
from tests.training.pictures import colors, write_colors
from training import plots
from training.data.datasets import DatasetError
from training.data.sets import xo
from training.fitting import evaluation, experiment, predicting
from training.fitting.evaluation import Metrics
from training.fitting.experiment import Outcome
from training.fitting.records.run_folder import WEIGHTS, Run
from training.fitting.state import Epoch, Fitted
from training.profiling import memory
from training.recipes.recipe import Recipe

CPU = torch.device("cpu")
RECIPE = Recipe("colors", "colors", "tiny", 3, 8, "adam", 0.02)


@pytest.fixture
def root(colors_folder: Path) -> Path:
    return colors_folder.parent


def run(recipe: Recipe, root: Path, folder: Path, **hooks: Any) -> Outcome:
    pictures = experiment.load(recipe, root)
    return experiment.run(recipe, pictures, root, CPU, Run.at(folder, recipe), **hooks)


class TestLoad:
    def test_both_splits_as_the_network_takes_them(self, root: Path) -> None:
        pictures = experiment.load(replace(RECIPE, size=5), root)
        assert pictures.spec == SPEC.model_copy(update={"height": 5, "width": 5})
        assert pictures.labels == LABELS
        assert pictures.train.images.shape == pictures.test.images.shape == (24, 3, 5, 5)
        assert not torch.equal(pictures.train.in_memory, pictures.test.in_memory)

    def test_targets_of_the_test_set_follow_the_labels_of_the_training_set(
        self, tmp_path: Path
    ) -> None:
        dataset = write_colors(tmp_path / "colors", pictures=2)
        (dataset / "test" / "blue").rename(tmp_path / "blue")
        assert experiment.load(RECIPE, tmp_path).test.targets.tolist() == [1, 1, 2, 2]

    def test_the_seed_decides_the_split_of_a_folder(self, tmp_path: Path) -> None:
        write_colors(tmp_path / "all")
        recipe = replace(RECIPE, dataset="all/train")
        parts = [experiment.load(replace(recipe, seed=seed), tmp_path).test for seed in (1, 1, 2)]
        assert torch.equal(parts[0].in_memory, parts[1].in_memory)
        assert not torch.equal(parts[0].in_memory, parts[2].in_memory)

    def test_what_is_not_there(self, root: Path) -> None:
        with pytest.raises(DatasetError, match="no data set 'shades'"):
            experiment.load(replace(RECIPE, dataset="shades"), root)
        with pytest.raises(ArchitectureError, match="no architecture 'huge'"):
            experiment.load(replace(RECIPE, architecture="huge"), root)


@pytest.mark.usefixtures("quick_plots")
class TestMetrics:
    def test_figures_of_all_sets(self, root: Path, tmp_path: Path) -> None:
        outcome = run(RECIPE, root, tmp_path)
        network, validation = outcome.fitted.network, outcome.fitted.selected.validation
        test = predicting.evaluate(network, colors(seed=1), SPEC)
        generator = torch.Generator().manual_seed(RECIPE.seed)
        trained_on, held_out = colors(seed=0).hold_out(RECIPE.validation_fraction, generator)
        assert len(held_out)
        train = predicting.evaluate(network, trained_on, SPEC)
        assert validation is not None
        assert outcome.metrics == pytest.approx(
            {
                "test_accuracy": test.accuracy,
                "test_accuracy_95_low": evaluation.interval(test.accuracy, 24).low,
                "test_accuracy_95_high": evaluation.interval(test.accuracy, 24).high,
                "test_pictures": 24,
                "test_loss": test.loss,
                "train_accuracy": train.accuracy,
                "train_loss": train.loss,
                "validation_accuracy": validation.accuracy,
                "validation_loss": validation.loss,
            }
        )
        logits = predicting.predict(network, colors(seed=1), SPEC)
        assert outcome.test == evaluation.score(logits, colors(seed=1).targets, LABELS)

    def test_without_validation(self, root: Path, tmp_path: Path) -> None:
        outcome = run(replace(RECIPE, validation_fraction=0), root, tmp_path)
        assert not [name for name in outcome.metrics if name.startswith("validation")]

    def test_a_recipe_that_mirrors_is_also_measured_by_the_sum_of_both_views(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scored: list[Tensor] = []
        score = evaluation.score

        def noted(logits: Tensor, *arguments: Any) -> evaluation.Evaluation:
            scored.append(logits)
            return score(logits, *arguments)

        monkeypatch.setattr(evaluation, "score", noted)
        recipe = replace(RECIPE, architecture="convnet", arguments={"widths": [4]}, size=8)
        outcome = run(replace(recipe, flip=True, epochs=1), root, tmp_path)
        network, test, spec = outcome.fitted.network, colors(seed=1), recipe.input
        views = [predicting.predict(network, each, spec) for each in (test, test.mirrored())]
        assert not torch.allclose(views[0], views[1])
        torch.testing.assert_close(scored, [views[0], views[0] + views[1]])
        right = (scored[1].argmax(1) == test.targets).float().mean()
        assert outcome.metrics["test_accuracy_with_flip"] == pytest.approx(right.item())

    def test_parts_of_a_joined_set_are_measured_each(self, tmp_path: Path) -> None:
        write_colors(tmp_path / "colors", pictures=4)
        other = write_colors(tmp_path / "other", pictures=2)
        (other / "test" / "blue").rename(other / "test" / "cyan")
        (other / "test" / "green").rename(other / "test" / "blue")  # whose pictures are green
        (other / "test" / "cyan").rename(other / "test" / "green")
        recipe = replace(RECIPE, dataset="colors + other", epochs=15, learning_rate=0.05)
        metrics = run(recipe, tmp_path, tmp_path / "run").metrics
        assert metrics["test_accuracy_colors"] == 1
        assert metrics["test_accuracy_other"] == pytest.approx(1 / 3)  # red alone
        assert metrics["test_accuracy"] == pytest.approx((12 + 2) / 18)

    def test_a_single_set_has_no_parts(self, root: Path, tmp_path: Path) -> None:
        assert "test_accuracy_colors" not in run(RECIPE, root, tmp_path).metrics


class TestFolder:
    def test_it_holds_everything_but_the_result(self, root: Path, tmp_path: Path) -> None:
        outcome = run(RECIPE, root, tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {
            *("recipe.json", "history.csv", "state.pt", "weights.pt"),
            *("curves.png", "confusion.png", "first.png", "mistakes.png"),
        }
        assert Run(tmp_path).history() == outcome.fitted.history
        for name in ("curves", "confusion", "first", "mistakes"):
            assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.usefixtures("quick_plots")
    def test_the_weights_are_those_that_were_selected(self, root: Path, tmp_path: Path) -> None:
        outcome = run(RECIPE, root, tmp_path)
        weights = torch.load(tmp_path / WEIGHTS, weights_only=True)
        network = Tiny(3)
        network.load_state_dict(weights, strict=True)
        test = colors(seed=1)
        expected = predicting.predict(outcome.fitted.network, test, SPEC)
        torch.testing.assert_close(predicting.predict(network, test, SPEC), expected)

    def test_the_worst_mistakes_are_shown(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_plots: None
    ) -> None:
        shown: list[Any] = []

        def mistakes(*arguments: Any) -> bytes:
            shown.extend(arguments)
            return b""

        monkeypatch.setattr(plots, "mistakes", mistakes)
        monkeypatch.setattr(experiment, "SHOWN_MISTAKES", 5)
        outcome = run(replace(RECIPE, epochs=1, learning_rate=1e-9), root, tmp_path)
        images, actual, predicted, scores, title, names = shown
        test = colors(seed=1)
        probabilities = predicting.predict(outcome.fitted.network, test, SPEC).softmax(1)
        surest, classes = probabilities.max(1)
        wrong = [i for i in range(24) if classes[i] != test.targets[i]]
        wrong.sort(key=lambda i: -surest[i].item())
        assert len(wrong) > 5
        assert torch.equal(images, test.images[wrong[:5]])
        assert actual == [LABELS[int(test.targets[i])] for i in wrong[:5]]
        assert predicted == [LABELS[int(classes[i])] for i in wrong[:5]]
        assert scores == pytest.approx([surest[i].item() for i in wrong[:5]])
        assert title == f"{len(wrong)} of 24 test pictures are taken for another class"
        assert names == [f"{i % 8}.png" for i in wrong[:5]]

    @pytest.mark.usefixtures("quick_plots")
    def test_who_listens_hears_of_every_step_and_epoch(self, root: Path, tmp_path: Path) -> None:
        steps: list[int] = []
        epochs: list[Epoch] = []
        outcome = run(RECIPE, root, tmp_path, on_batch=steps.append, on_epoch=epochs.append)
        assert steps == [8, 8, 5] * 3
        assert epochs == outcome.fitted.history

    @pytest.mark.usefixtures("quick_plots")
    def test_what_was_done_before_a_break_is_told_and_counted(
        self, root: Path, tmp_path: Path
    ) -> None:
        whole = run(RECIPE, root, tmp_path)  # its state stays until the caller has finished
        state = Run(tmp_path).state()
        assert state is not None
        Run(tmp_path).write_tensors("state.pt", state | {"seconds": 1000.0})
        epochs: list[Epoch] = []
        again = run(RECIPE, root, tmp_path, on_epoch=epochs.append)
        assert epochs == whole.fitted.history
        assert again.metrics == whole.metrics
        assert 1000 <= again.seconds < 1010


class TestOutcome:
    def outcome(self, **metrics: float) -> Outcome:
        history = [Epoch(n, Metrics(1.0, 0.5), None) for n in (1, 2, 3)]
        fitted = Fitted(Tiny(3), history, history[1], colors(seed=0))
        test = evaluation.score(torch.eye(3), torch.arange(3), LABELS)
        return Outcome(fitted, test, torch.eye(3), metrics, seconds=12.345, peak_memory=None)

    def test_as_json(self) -> None:
        content = self.outcome(test_accuracy=0.5).as_json()
        assert content == {
            "metrics": {"test_accuracy": 0.5},
            "epochs": 3,
            "selected_epoch": 2,
            "classes": [
                {"label": label, "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
                for label in LABELS
            ],
            "note": None,
            "parameters": 3 * 4 * 9 + 4 + 4 * 3 + 3,
            "seconds": 12.3,
            "peak_memory": None,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }

    @pytest.mark.parametrize("figure", [float("nan"), float("inf")])
    def test_figures_that_are_not_finite_are_null(self, figure: float) -> None:
        content = self.outcome(test_loss=figure, test_accuracy=0.1).as_json()
        assert content["metrics"] == {"test_loss": None, "test_accuracy": 0.1}
        assert "NaN" not in json.dumps(content, allow_nan=False)


@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="only Linux tells")
@pytest.mark.usefixtures("quick_plots")
def test_the_memory_of_a_training_is_told(root: Path, tmp_path: Path) -> None:
    peak = run(RECIPE, root, tmp_path).peak_memory
    assert peak is not None
    assert 0 <= peak < 2**30


def test_spec_of_a_drawn_set_needs_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(xo.TRAIN, "original", (4, 1))
    monkeypatch.setitem(xo.TEST, "original", (2, 2))
    recipe = replace(RECIPE, dataset="xo", architecture="xo")
    assert experiment.load(recipe, tmp_path).spec == InputSpec(channels=1, height=116, width=116)
