"""`data.html`: what was found in a data set, each picture with the name of its file.

The page is one file: it has its pictures in it, loads nothing and runs nothing. Names of files and
labels are other people's, and are escaped.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from io import BytesIO

from PIL import Image
from torch import Tensor

from training.data.datasets import ImageSet
from training.data.names import shown
from training.review import findings as kinds
from training.review.findings import Finding, Kind, Place
from training.review.labels import Suspect

WORST = 50  # pictures that are shown of each kind
_SIDE = 96  # pixels of a picture on the page
_SMALL = 48  # side up to which nothing is lost by compression
_HARD = (
    "Their labels are less likely than others, or hardly more, by the same probabilities. Most are "
    "right; among them are pictures that are of no class, or of several."
)
STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 72rem; margin: auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.pictures { display: flex; flex-wrap: wrap; gap: .75rem; padding: 0; list-style: none; }
.pictures > li { border: 1px solid GrayText; border-radius: .4rem; padding: .5rem; }
.group { display: flex; flex-wrap: wrap; gap: .5rem; }
figure { margin: 0; width: 9rem; }
img { width: 6rem; height: 6rem; object-fit: contain; background: #808080; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
"""
HEAD = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "img-src data:; style-src 'unsafe-inline'\">\n"
)
"""The beginning of a page that loads nothing and runs nothing, up to its title."""


def page(
    title: str,
    splits: Mapping[str, ImageSet],
    findings: Sequence[Finding],
    suspects: Sequence[Suspect] | None,
    how: Sequence[str] = (),
    hard: Sequence[Suspect] = (),
) -> bytes:
    """Return the page; `suspects` is None before labels are judged, `how` says what judged them."""
    parts = list(_sections(splits, findings, suspects, how, hard))
    links = "".join(f'<li><a href="#{name}">{text}</a></li>' for name, text, _ in parts)
    counts = ", ".join(f"{len(images):,} {escape(name)}" for name, images in splits.items())
    body = "\n".join(
        f'<section id="{name}">\n<h2>{text}</h2>\n{content}\n</section>'
        for name, text, content in parts
    )
    text = (
        f"{HEAD}<title>{escape(shown(title))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<main>\n<h1><bdi>{escape(shown(title))}</bdi></h1>\n"
        f"<p>Pictures: {counts}. They are shown as the network sees them. All that was found is "
        "in data.csv, beside this page. No picture was left out because of it.</p>\n"
        f"<p>{escape(kinds.LOOKED_FOR)}</p>\n"
        f'<nav aria-label="What was found"><ul>{links}</ul></nav>\n{body}\n</main>\n</body>\n'
        "</html>\n"
    )
    return text.encode(errors="replace")


def _sections(
    splits: Mapping[str, ImageSet],
    findings: Sequence[Finding],
    suspects: Sequence[Suspect] | None,
    how: Sequence[str],
    hard: Sequence[Suspect],
) -> Iterator[tuple[str, str, str]]:
    """Name, heading and content of each section, as HTML."""
    if suspects is not None:
        yield "labels", f"labels that are probably wrong: {len(suspects):,}", _doubts(suspects, how)
    if hard:
        content = f"<p>{_HARD}</p>{_list(hard, 'or')}"
        yield "hard", f"hardest pictures beside them: {len(hard):,}", content
    for kind in kinds.KINDS:
        of_kind = kinds.of(kind, findings)
        if of_kind:
            heading = f"{escape(kind.title)}: {len(of_kind):,}"
            yield kind.name, heading, _kind(kind, of_kind, splits)
    if not findings:
        text = "There are no copies, no blank, tiny or elongated pictures, and no small classes."
        yield "nothing", "nothing odd among the pictures", f"<p>{text}</p>"


def _doubts(suspects: Sequence[Suspect], how: Sequence[str]) -> str:
    judged = "".join(f"<li>{escape(each)}</li>" for each in how)
    about = (
        "<p>By confident learning: a picture is named if its probability for another class is at "
        "least as high as usual for pictures of that class. The surest come first. Many of them "
        "are right, and only hard: look at each before you move it. The probabilities are of</p>"
        f"<ul>{judged}</ul>"
    )
    return f"{about}{_list(suspects, 'probably')}{_more(len(suspects))}"


def _list(suspects: Sequence[Suspect], word: str) -> str:
    items = "".join(
        f"<li>{figure(each.picture, each.name, _doubt(each, word))}</li>"
        for each in suspects[:WORST]
    )
    return f'<ol class="pictures">{items}</ol>'


def _doubt(suspect: Suspect, word: str) -> str:
    return (
        f"{escape(suspect.split)}: <bdi>{escape(shown(suspect.given))}</bdi> "
        f"({suspect.probability_given:.2f}), {word} "
        f"<strong><bdi>{escape(shown(suspect.likely))}</bdi></strong> "
        f"({suspect.probability_likely:.2f})"
    )


def _kind(kind: Kind, found: Sequence[Finding], splits: Mapping[str, ImageSet]) -> str:
    items, room = [], WORST
    for finding in found:
        if room <= 0:
            break
        places = finding.pictures[:room]
        room -= max(1, len(places))
        items.append(f"<li>{_item(finding, places, splits)}</li>")
    advice = f"<p>{escape(kind.advice[:1].upper() + kind.advice[1:])}.</p>"
    style = "pictures" if found[0].pictures else "plain"
    more = _more(len(found), len(items))
    return f'{advice}<ul class="{style}">{"".join(items)}</ul>{more}'


def _item(finding: Finding, places: Sequence[Place], splits: Mapping[str, ImageSet]) -> str:
    about = f"<div>{escape(shown(finding.about))}</div>" if finding.about else ""
    figures = []
    for split, index in places:
        images = splits[split]
        label = images.labels[int(images.targets[index])]
        text = f"{escape(split)}: <bdi>{escape(shown(label))}</bdi>"
        figures.append(figure(images.images[index], images.name(index), text))
    hidden = len(finding.pictures) - len(places)
    rest = f"<div>and {hidden:,} more</div>" if hidden else ""
    group = f'<div class="group">{"".join(figures)}</div>' if figures else ""
    return f"{group}{about}{rest}"


def _more(count: int, seen: int = WORST) -> str:
    return f"<p>{count - seen:,} more are in data.csv.</p>" if count > seen else ""


def figure(picture: Tensor, name: str, text: str) -> str:
    """Return an HTML figure with a picture uint8 (C, H, W) inside.

    `text` is HTML already, and `name` is escaped here.
    """
    return (
        f'<figure><img src="{_data_url(picture)}" alt="" loading="lazy">'
        f"<figcaption>{text}<br><bdi>{escape(shown(name))}</bdi></figcaption></figure>"
    )


def _data_url(picture: Tensor) -> str:
    """Encode a picture uint8 (C, H, W) as a data URL, which contains the picture itself."""
    image = Image.fromarray(picture.permute(1, 2, 0).squeeze(-1).contiguous().cpu().numpy())
    image.thumbnail((_SIDE, _SIDE))
    buffer = BytesIO()
    if max(image.size) <= _SMALL:
        image.save(buffer, "PNG")
        kind = "png"
    else:
        image.save(buffer, "JPEG", quality=85)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
