"""Writes fanlight.json, a dashboard of Grafana: `python -m deploy.grafana.dashboard`.

The JSON is what people import; it is written by this module so that it can be read and changed.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("fanlight.json")
_INSTANCE = 'instance=~"$instance"'
_MODEL = _INSTANCE + ', model=~"$model"'
_WIDTH, _HEIGHT = 8, 8  # of a panel; a row is 24 wide
_SOURCE = {"type": "prometheus", "uid": "${source}"}


def _rate(metric: str, by: str, labels: str = _INSTANCE) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def _quantile(quantile: float, metric: str, labels: str) -> str:
    rate = _rate(f"{metric}_bucket", "le", labels)
    return f"histogram_quantile({quantile}, {rate})"


PREDICTIONS = "predict|v2_infer.*|invocations|tensorflow_.+|torchserve_.+"  # operations
_PREDICTIONS = f'{_MODEL}, operation=~"{PREDICTIONS}"'
PANELS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    # title, unit, what to look for, legend → expression
    (
        "Requests",
        "reqps",
        "By operation. Those without an answer are below.",
        {"{{operation}}": _rate("fanlight_request_seconds_count", "operation")},
    ),
    (
        "Errors",
        "reqps",
        "4xx are the clients' mistakes, 429 and 5xx the service's trouble.",
        {
            "{{status}}": _rate(
                "fanlight_request_seconds_count", "status", f'{_INSTANCE}, status=~"[45].."'
            )
        },
    ),
    (
        "Refused requests",
        "reqps",
        "By reason, as the problem document names it.",
        {"{{reason}}": _rate("fanlight_refused_requests_total", "reason")},
    ),
    (
        "Latency of predictions",
        "s",
        "From when the body has arrived to the head of its answer, without the client's upload.",
        {
            "half": _quantile(0.5, "fanlight_answer_seconds", _PREDICTIONS),
            "95 %": _quantile(0.95, "fanlight_answer_seconds", _PREDICTIONS),
            "99 %": _quantile(0.99, "fanlight_answer_seconds", _PREDICTIONS),
        },
    ),
    (
        "Where the time of a prediction goes",
        "s",
        "Mean by stage. `receive` is the client's upload.",
        {
            "{{stage}}": f"{_rate('fanlight_stage_seconds_total', 'stage', _MODEL)}"
            f" / {_rate('fanlight_stage_requests_total', 'stage', _MODEL)}"
        },
    ),
    (
        "Forward pass",
        "s",
        "Of a batch, in the mean.",
        {
            "{{model}}": f"{_rate('fanlight_forward_seconds_sum', 'model', _MODEL)}"
            f" / {_rate('fanlight_forward_seconds_count', 'model', _MODEL)}"
        },
    ),
    (
        "Images",
        "ops",
        "That passed through a network.",
        {"{{model}}": _rate("fanlight_batch_images_sum", "model", _MODEL)},
    ),
    (
        "Images in a batch",
        "short",
        "In the mean: 1 means that nothing waits for anything.",
        {
            "{{model}}": f"{_rate('fanlight_batch_images_sum', 'model', _MODEL)}"
            f" / {_rate('fanlight_batch_images_count', 'model', _MODEL)}"
        },
    ),
    (
        "In flight and waiting",
        "short",
        "Requests that are not answered yet, and images that wait for decoding or the network.",
        {
            "requests in flight": f"sum(fanlight_requests_in_flight{{{_INSTANCE}}})",
            "images of {{model}}": f"sum by (model) (fanlight_queue_images{{{_MODEL}}})",
        },
    ),
    (
        "Answers by label",
        "ops",
        "A model that suddenly sees one class only gets other images, or is broken.",
        {"{{model}}: {{label}}": _rate("fanlight_answers_total", "model, label", _MODEL)},
    ),
    (
        "Unsure answers",
        "percentunit",
        "Part of the images, by why.",
        {
            "{{model}}: {{why}}": f"{_rate('fanlight_unsure_answers_total', 'model, why', _MODEL)}"
            " / on (model) group_left () "
            f"{_rate('fanlight_answer_scores_total', 'model', _MODEL)}"
        },
    ),
    (
        "Models",
        "short",
        "1 for each version that answers, by its runtime.",
        {
            "{{model}}/{{version}} on {{runtime}}": "max by (model, version, runtime) "
            f"(fanlight_model_ready{{{_MODEL}}})"
        },
    ),
    (
        "Memory",
        "bytes",
        "Of all processes of the service together.",
        {"{{instance}}": f"sum by (instance) (process_resident_memory_bytes{{{_INSTANCE}}})"},
    ),
    (
        "Processors",
        "short",
        "How many are busy.",
        {"{{instance}}": _rate("process_cpu_seconds_total", "instance")},
    ),
    (
        "Connections that were ended",
        "ops",
        "By the limit that they passed.",
        {"{{reason}}": _rate("fanlight_connections_ended_total", "reason")},
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's JSON model."""
    return {
        "title": "Fanlight",
        "uid": "fanlight",
        "description": "Requests, where their time goes, models and what they answer.",
        "tags": ["fanlight"],
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"},
                _variable("instance", "label_values(fanlight_build_info, instance)"),
                _variable("model", "label_values(fanlight_model_ready, model)"),
            ]
        },
        "panels": [_panel(number, *panel) for number, panel in enumerate(PANELS)],
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(
    number: int, title: str, unit: str, about: str, expressions: dict[str, str]
) -> dict[str, Any]:
    row, column = divmod(number, 3)
    return {
        "id": number + 1,
        "title": title,
        "description": about,
        "type": "timeseries",
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
            for index, (legend, expression) in enumerate(expressions.items())
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n")
