"""A Dockerfile is read as Docker reads it, and what the rehearsal does not know is an error."""

from pathlib import Path

import pytest

from deploy.container.dockerfile import (
    DockerfileError,
    Mount,
    assignments,
    command,
    expanded,
    parse,
    wanted,
)

TEXT = """
# syntax=docker/dockerfile:1
ARG BASE=debian
FROM ${BASE} AS base
ENV A=1 \\
    # a comment between continued lines
    B="two words"

FROM base AS tool
RUN --mount=type=bind,source=a.txt,target=/tmp/a.txt \\
    --mount=type=bind,from=base,source=/opt,target=/opt \\
    cat /tmp/a.txt \\
    && true
FROM scratch AS output
COPY --from=tool /one /two /
FROM base AS image
CMD ["a", "b c"]
"""


def test_stages_steps_and_what_they_take() -> None:
    found = parse(TEXT)
    assert [(stage.name, stage.base) for stage in found.stages.values()] == [
        ("base", "debian"),
        ("tool", "base"),
        ("output", "scratch"),
        ("image", "base"),
    ]
    [env] = found.stages["base"].steps
    assert assignments(env.text, {}) == {"A": "1", "B": "two words"}
    [run] = found.stages["tool"].steps
    assert run.text == "cat /tmp/a.txt && true"
    assert run.mounts == (Mount(None, "a.txt", "/tmp/a.txt"), Mount("base", "/opt", "/opt"))
    [copy] = found.stages["output"].steps
    assert (copy.stage, copy.paths) == ("tool", ["/one", "/two"])
    assert command(found.stages["image"].steps[0].text) == ["a", "b c"]


def test_a_given_argument_takes_the_place_of_its_default() -> None:
    assert parse(TEXT, {"BASE": "debian@sha256:0"}).stages["base"].base == "debian@sha256:0"
    with pytest.raises(DockerfileError, match="no build argument BAES; there are BASE"):
        parse(TEXT, {"BAES": "debian"})


def test_a_target_needs_the_stages_that_it_stands_on_or_takes_from() -> None:
    found = parse(TEXT)
    assert [each.name for each in wanted(found, "output")] == ["base", "tool", "output"]
    assert [each.name for each in wanted(found, "image")] == ["base", "image"]
    with pytest.raises(DockerfileError, match="no stage imagine; there are base, tool, output"):
        wanted(found, "imagine")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no FROM"),
        ("RUN true", "only ARG"),
        ("FROM a", "needs a name"),
        ("FROM a AS b\nADD x /", "knows only"),
        ("FROM a AS b\nRUN --network=none true", "does not know this flag"),
        ("FROM a AS b\nRUN --mount=type=bind,target=/x true", "has type, source, target"),
        ("FROM a AS b\nRUN --mount=type=cache,target=/x true", "does not know this flag"),
        ("FROM a AS b\nCOPY --chown=1 x /", "does not know this flag"),
        ("FROM a AS b\nCOPY --from=c x /", "no stage c before it"),
        ("FROM a AS b\nRUN true \\", "ends with a backslash"),
    ],
)
def test_what_is_not_known_is_an_error(text: str, reason: str) -> None:
    with pytest.raises(DockerfileError, match=reason):
        parse(text)


@pytest.mark.parametrize("text", ["fanlight serve", "[]", "[1]", '{"a": 1}', '["a"'])
def test_a_command_is_a_list_of_words(text: str) -> None:
    with pytest.raises(DockerfileError, match="write it as"):
        command(text)


def test_variables_are_replaced() -> None:
    assert expanded("${A}/$B:$C", {"A": "a", "B": "b"}) == "a/b:"


def test_our_own_is_read_whole() -> None:
    text = (Path(__file__).parents[3] / "Dockerfile").read_text()
    found = parse(text)
    steps = sum(len(stage.steps) for stage in found.stages.values())
    written = [line for line in text.splitlines() if line[:1].isupper()]
    assert steps + len(found.stages) + len(found.arguments) == len(written)
