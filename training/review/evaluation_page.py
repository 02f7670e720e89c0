"""`evaluation.html`: how a model answers on a data set: figures, confusion, mistakes, doubts.

    figures, probabilities (N, K), pictures → sections of HTML → one page

The page is one file: it has its pictures in it, loads nothing and runs nothing, so it works by
keyboard and on any host. Names of files and labels are other people's, and are escaped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import torch
from torch import Tensor

from training.data.datasets import ImageSet
from training.data.names import shown
from training.fitting.evaluation import Evaluation
from training.review.page import HEAD, STYLE, figure

PAGE = "evaluation.html"
WORST = 50  # pictures that are shown of the surest mistakes, and of the unsure ones
OF_PAIR = 6  # of each pair of classes that is confused
PAIRS = 20  # of classes that are shown with pictures, those confused most
MAX_TABLE = 40  # classes, up to which the whole matrix is shown
Doubts = tuple[Tensor, Tensor]
"""Which answers are unfamiliar, and which are ambiguous: (N,) bool each."""

_OWN_STYLE = """
html, body { background: Canvas; color: CanvasText; }
a:focus-visible, .scroll:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
.scroll { overflow: auto; max-height: 80vh; border: 1px solid GrayText; border-radius: .4rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .4rem; }
th, td { padding: .3rem .55rem; text-align: right; border: 1px solid color-mix(in srgb, GrayText
  35%, transparent); }
th { font-weight: 600; }
th bdi { display: inline-block; max-width: 10rem; overflow-wrap: break-word; }
tbody th { text-align: left; }
.matrix thead th, .matrix tbody th { position: sticky; background: Canvas; }
.matrix thead th { top: 0; } .matrix tbody th { left: 0; }
.matrix td { background: color-mix(in srgb, var(--hue) calc(var(--share) * 45%), Canvas); }
.right { --hue: #2e7d32; } .wrong { --hue: #d84315; }
.matrix td a { color: CanvasText; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dd { margin: 0; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; overflow-wrap: anywhere; }
@media (max-width: 30rem) { figure, img { width: 5.5rem; } img { height: 5.5rem; } }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
"""


@dataclass(frozen=True)
class About:
    """What was evaluated: the version as `name/number`, the data set, and which part of it."""

    version: str
    dataset: str
    split: str


def page(
    about: About,
    images: ImageSet,
    result: Evaluation,
    probabilities: Tensor,
    doubts: Doubts | None,
) -> bytes:
    """Return the page for pictures with their labels and probabilities (N, K).

    `doubts` is None for a model without calibration; then the pictures with the least probable
    answers are shown in place of unsure ones.
    """
    found = _Answers(images, probabilities.cpu(), doubts)
    title = shown(f"{about.version} on {about.dataset} ({about.split})")
    parts = list(_sections(found, result))
    links = "".join(f'<li><a href="#{name}">{text}</a></li>' for name, text, _ in parts)
    body = "\n".join(
        f'<section id="{name}">\n<h2>{text}</h2>\n{content}\n</section>'
        for name, text, content in parts
    )
    text = (
        f"{HEAD}<title>{escape(title)}</title>\n<style>{STYLE}{_OWN_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1><bdi>{escape(title)}</bdi></h1>\n{_figures(result)}\n"
        f'<nav aria-label="On this page"><ul>{links}</ul></nav>\n{body}\n'
        "</main>\n</body>\n</html>\n"
    )
    return text.encode(errors="replace")


class _Answers:
    """The pictures, with what the model answered: `top` is the class, `sure` its probability."""

    def __init__(self, images: ImageSet, probabilities: Tensor, doubts: Doubts | None) -> None:
        self.images, self.probabilities, self.doubts = images, probabilities, doubts
        self.targets = images.targets.cpu()
        self.sure, self.top = probabilities.max(1)

    @property
    def labels(self) -> Sequence[str]:
        return self.images.labels

    def mistakes(self) -> list[int]:
        """The pictures whose answer is wrong, the surest first."""
        wrong = (self.top != self.targets).nonzero().flatten()
        return wrong[self.sure[wrong].argsort(descending=True, stable=True)].tolist()

    def unsure(self) -> list[int]:
        """The pictures whose answer is unsure, the least probable first."""
        if self.doubts is None:
            return self.sure.argsort(stable=True).tolist()[:WORST]
        unfamiliar, ambiguous = self.doubts
        unsure = (unfamiliar | ambiguous).nonzero().flatten()
        return unsure[self.sure[unsure].argsort(stable=True)].tolist()

    def why(self, index: int) -> str | None:
        if self.doubts is None:
            return None
        return "unfamiliar" if self.doubts[0][index] else "ambiguous"

    def figure(self, index: int, note: str | None = None) -> str:
        """Return the figure of a picture: what it is, and what it was taken for."""
        target, top = int(self.targets[index]), int(self.top[index])
        text = f"{_name(self.labels[target])}"
        if target == top:
            text += f", right ({float(self.sure[index]):.2f})"
        else:
            own = float(self.probabilities[index, target])
            text += (
                f" ({own:.2f}), taken for <strong>{_name(self.labels[top])}</strong> "
                f"({float(self.sure[index]):.2f})"
            )
        if note:
            text += f"<br>{escape(note)}"
        return figure(self.images.images[index], self.images.name(index), text)


def _sections(found: _Answers, result: Evaluation) -> Iterator[tuple[str, str, str]]:
    """Name, heading and content of each section, as HTML."""
    yield "confusion", "confusion", _confusion(found, result)
    mistakes = found.mistakes()
    text = (
        "<p>Wrong answers, the most probable first. A label that is wrong in the data set is often "
        "among them.</p>"
    )
    content = text + _list([found.figure(index) for index in mistakes[:WORST]], len(mistakes))
    if not mistakes:
        content = "<p>Every answer is right.</p>"
    yield "mistakes", f"surest mistakes: {len(mistakes):,}", content
    unsure = found.unsure()
    if found.doubts is None:
        text = (
            "<p>The model has no calibration, so it tells of no answer that it is unsure. These "
            "are the least probable ones. <code>fanlight calibrate</code> adds a calibration.</p>"
        )
        heading = "least probable answers"
    else:
        text = (
            "<p>Answers that the service marks as unsure, the least probable first. Unfamiliar: "
            "the picture is not like those of the training. Ambiguous: several labels may be "
            "right, or none is probable enough.</p>"
        )
        heading = f"unsure: {len(unsure):,}"
        if not unsure:
            text = "<p>No answer is unsure.</p>"
    shown_here = [found.figure(index, found.why(index)) for index in unsure[:WORST]]
    yield "unsure", heading, text + (_list(shown_here, len(unsure)) if shown_here else "")
    yield "classes", "by class", _classes(result)


def _figures(result: Evaluation) -> str:
    rows = (
        ("pictures", f"{result.count:,}"),
        ("accuracy", f"{result.accuracy:.4f} ({result.interval})"),
        ("balanced accuracy", f"{result.balanced_accuracy:.4f}: the mean recall of the classes"),
        ("loss", f"{result.loss:.4f}"),
    )
    inside = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>{inside}</dl>"


def _confusion(found: _Answers, result: Evaluation) -> str:
    """The matrix, and pictures of the pairs that are confused most, to which its cells lead."""
    pairs = _pairs(result)
    anchors = {(i, j): f"pair-{i}-{j}" for _, i, j in pairs[:PAIRS]}
    table = _matrix(result, anchors) if len(result.classes) <= MAX_TABLE else ""
    if table:
        text = (
            "<p>Rows are what the pictures are, columns what they were taken for. A number with a "
            "link leads to pictures.</p>"
        )
    else:
        text = (
            f"<p>There are {len(result.classes):,} classes: more than fit in a table. These pairs "
            "are confused most.</p>"
        )
    groups = []
    for count, i, j in pairs[:PAIRS]:
        both = (found.targets == i) & (found.top == j)
        places = both.nonzero().flatten()
        surest = places[found.sure[places].argsort(descending=True, stable=True)].tolist()
        figures = [found.figure(index) for index in surest[:OF_PAIR]]
        true, taken = _name(found.labels[i]), _name(found.labels[j])
        groups.append(
            f'<h3 id="{anchors[i, j]}">{true} taken for {taken}: {count:,}</h3>'
            f"{_list(figures, len(figures))}"
        )
    rest = f"<p>{len(pairs) - PAIRS:,} more pairs have mistakes.</p>" if len(pairs) > PAIRS else ""
    return f"{text}{table}{''.join(groups)}{rest}"


def _pairs(result: Evaluation) -> list[tuple[int, int, int]]:
    """Count, class and answer of each pair with mistakes, the most frequent first."""
    counts = torch.tensor(result.confusion).reshape(len(result.classes), -1)
    counts.fill_diagonal_(0)
    pairs = [(int(counts[i, j]), i, j) for i, j in counts.nonzero().tolist()]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))


def _matrix(result: Evaluation, anchors: dict[tuple[int, int], str]) -> str:
    head = "".join(f'<th scope="col">{_name(each.label)}</th>' for each in result.classes)
    shares = [
        [count / max(1, figures.support) for count in counts]
        for figures, counts in zip(result.classes, result.confusion, strict=True)
    ]
    wrong = [share for i, row in enumerate(shares) for j, share in enumerate(row) if i != j]
    most = max(wrong, default=0) or 1.0  # a few mistakes are to be seen beside many right answers
    rows = []
    for i, (figures, counts) in enumerate(zip(result.classes, result.confusion, strict=True)):
        cells = []
        for j, count in enumerate(counts):
            share = shares[i][j] if i == j else shares[i][j] / most
            kind = "right" if i == j else "wrong"
            number = f"{count:,}"
            if name := anchors.get((i, j)):
                label = escape(
                    f"{count:,} pictures of {shown(figures.label)} taken for "
                    f"{shown(result.classes[j].label)}",
                    quote=True,
                )
                number = f'<a href="#{name}" aria-label="{label}">{number}</a>'
            cells.append(f'<td class="{kind}" style="--share: {share:.3f}">{number}</td>')
        rows.append(f'<tr><th scope="row">{_name(figures.label)}</th>{"".join(cells)}</tr>')
    return _table("Pictures by class and answer", "matrix", head, rows)


def _classes(result: Evaluation) -> str:
    names = ("precision", "recall", "F1", "pictures")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for each in result.classes:
        values = (each.precision, each.recall, each.f1)
        cells = "".join(f"<td>{value:.4f}</td>" for value in values)
        cells += f"<td>{each.support:,}</td>"
        rows.append(f'<tr><th scope="row">{_name(each.label)}</th>{cells}</tr>')
    return _table("Figures of each class", "classes", head, rows)


def _table(caption: str, kind: str, head: str, rows: Sequence[str]) -> str:
    """A table that scrolls in a frame of its own, also by keyboard."""
    return (
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0">'
        f'<table class="{kind}"><caption>{caption}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _list(figures: Sequence[str], count: int) -> str:
    items = "".join(f"<li>{each}</li>" for each in figures)
    more = f"<p>{count - len(figures):,} more.</p>" if count > len(figures) else ""
    return f'<ol class="pictures">{items}</ol>{more}'


def _name(label: str) -> str:
    """A label as HTML, in whatever direction it is written."""
    return f"<bdi>{escape(shown(label))}</bdi>"
