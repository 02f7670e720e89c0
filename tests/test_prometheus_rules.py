"""The rules for Prometheus name figures that the service has, and tell when images have changed."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from service.monitoring.metrics import Metrics
from service.monitoring.version_figures import Counts
from tests import trusted

RULES = Path(__file__).parents[1] / "deploy" / "prometheus" / "drift.yml"
KINDS = {"familiarity": "answer_familiarity", "scores": "answer_scores", "labels": "answers"}
ALERTS = dict.fromkeys(KINDS, "FanlightImagesChanged") | {"labels": "FanlightClassesChanged"}


def expressions() -> dict[str, str]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return {rule.get("record") or rule["alert"]: rule["expr"] for rule in group["rules"]}


def test_every_figure_is_one_of_the_service(tmp_path: Path) -> None:
    card = trusted.publish_trusted(tmp_path)
    figures = Metrics()
    figures.versions.loaded(card, "onnx", fallback=False)
    figures.versions.arrived("sure", 1, card.labels, Counts([1] * 3, [1] * 10, [1] * 10, {}))
    told = set(re.findall(r"^(fanlight_\w+)", figures.exposition().decode(), re.MULTILINE))
    rules = expressions()
    named = set(re.findall(r"\bfanlight_\w+", " ".join(rules.values())))
    assert named <= told
    recorded = set(re.findall(r"\bfanlight:[\w:]+", " ".join(rules.values())))
    assert recorded <= set(rules)


def psi(share: dict[str, float], usual: dict[str, float]) -> float:
    """The population stability index, with no part below 0.001."""
    found = 0.0
    for each in usual:
        one, other = max(share.get(each, 0), 0.001), max(usual[each], 0.001)
        found += (one - other) * math.log(one / other)
    return found


def limit(bins: int, images: int, answers: float) -> float:
    """What chance explains, and a quarter."""
    return 0.25 + (bins - 1 + 3 * math.sqrt(2 * (bins - 1))) * (1 / images + 1 / answers)


EVEN = {f"{tenth / 10:g}": 0.1 for tenth in range(10)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("share", "a_minute", "images", "is_ready", "is_told", "fires"),
    [
        (EVEN, 100, 1000, True, True, False),
        ({**EVEN, "0": 0.2, "0.9": 0.0}, 100, 1000, True, True, True),
        ({**EVEN, "0": 0.2, "0.9": 0.0}, 4, 100, True, True, False),  # as chance may give
        ({"0": 1.0}, 100, 1000, True, True, True),
        ({"0": 1.0}, 100, 100, True, True, True),
        ({"0": 1.0}, 100, 99, True, True, False),
        ({"0": 1.0}, 100, 1000, False, False, False),  # the version is gone
        ({"0": 1.0}, 2, 1000, True, False, False),  # of so few it means nothing
    ],
)
def test_the_index_is_that_of_the_formula(
    tmp_path: Path,
    kind: str,
    share: dict[str, float],
    a_minute: int,
    images: int,
    is_ready: bool,
    is_told: bool,
    fires: bool,
) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on PATH")
    name, by = KINDS[kind], "label" if kind == "labels" else "tenth"
    version = 'model="m",version="1"'
    series = [
        (f'fanlight_usual_{name}{{{version},{by}="{each}"}}', f"{part}x200")
        for each, part in EVEN.items()
    ]
    told = {"fanlight_answer_scores_total": ("tenth", EVEN)}  # how many there were
    told[f"fanlight_{name}_total"] = (by, share)
    series += [
        (f'fanlight_model_ready{{{version},runtime="onnx"}}', f"{int(is_ready)}x200"),
        (f"fanlight_calibration_images{{{version}}}", f"{images}x200"),
    ]
    series += [
        (f'{metric}{{{version},{key}="{each}"}}', f"0+{part * a_minute}x200")
        for metric, (key, shares) in told.items()
        for each, part in shares.items()
        if part
    ]
    index, most = psi(share, EVEN), limit(len(EVEN), images, 60 * a_minute)
    if is_told and images >= 100:
        assert fires == (index > most)
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": each, "values": values} for each, values in series],
                "promql_expr_test": [
                    {
                        "expr": f"round(fanlight:{kind}:psi, 1e-6)",
                        "eval_time": "150m",
                        "exp_samples": [{"labels": f"{{{version}}}", "value": round(index, 6)}]
                        if is_told
                        else [],
                    },
                    {
                        "expr": f'count(ALERTS{{alertname="{ALERTS[kind]}",alertstate="firing"}})',
                        "eval_time": "150m",
                        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                    },
                    {
                        "expr": f"round(fanlight:{kind}:limit, 1e-6)",
                        "eval_time": "150m",
                        "exp_samples": [{"labels": f"{{{version}}}", "value": round(most, 6)}]
                        if is_ready
                        else [],
                    },
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(document))
    run = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
