"""The faces of a photo: boxes to point at and pick, a card for each, and what can be downloaded."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image as PILImage

from ..image import draw
from ..languages import count_of, say
from ..types import Face, Image, Prediction
from . import parts
from .parts import CSV, card, color_of, download_link, face_name, jpeg, jpeg_uri, said, swatch, title

LONGEST = 1600
"""Pixels of the longer side of the picture in the page."""
LONGEST_DRAWN = 2048
"""Of the picture to download, which travels in the page, too."""
WIDE = 0.16
"""Boxes of at least this share of the picture's width carry their label; narrower ones their number alone."""
MANY = 12
"""Above this number of faces a narrow page shows the tag of the chosen one alone."""
HIGH = 0.06
"""Boxes that begin within this share of the picture's top carry their tag inside."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """A face as the panel shows it; `title` is not yet escaped."""

    number: int
    prediction: Prediction
    face: Face
    title: str
    color: str


def faces_panel(
    image: Image,
    predictions: Sequence[Prediction],
    language: str = "en",
    least: float = 0.0,
    scope: str = "image",
    downloads: bool = True,
) -> str:
    """A photo with a box for each face; the card of the face that is pointed at or picked; downloads.

    It works without a script: each box is a radio button, so that the arrow keys go from face to face.

    Args:
        image: H×W×3 uint8 RGB.
        predictions: Of its faces, or of the whole image, which has a card only.
        language: Of the names and numbers.
        least: Below this confidence, 0 to 1, a face is called uncertain.
        scope: Begins all ids; different for each panel in a page. Letters, digits and "-".
        downloads: Whether the faces can be saved, as JSON, CSV and picture.
    """
    if not predictions:
        return said(say("image.none", language))
    links = _downloads(image, predictions, language, least) if downloads else ""
    shown = [
        _Shown(
            number,
            each,
            each.face,
            title(face_name(number, language), each, language, least),
            color_of(each, least),
        )
        for number, each in enumerate(predictions, 1)
        if each.face is not None
    ]
    if not shown:
        whole = card(say("face.whole", language), predictions[0], language, least)
        return f'<div class="fer-faces"><div class="fer-card">{whole}</div>{links}</div>'
    return (
        f'<div class="fer-faces" id="{scope}-faces">{_rules(len(shown), scope)}<div class="fer-columns">'
        f'<div class="fer-picture">{_stage(image, shown, language, least, scope)}'
        f"{_help(shown, language, scope)}</div>"
        f'<div class="fer-side">{_cards(shown, language, least, scope)}{_list(shown, language, scope)}</div>'
        f"</div>{links}</div>"
    )


def _rules(n: int, scope: str) -> str:
    """Which card is shown: of the face that is pointed at, else of the one that is picked."""
    panel = f"#{scope}-faces"
    rules = [f"{panel} .fer-one{{display:none}}"]
    for k in range(1, n + 1):
        box, card_, pick, row, tag = (f"#{scope}-{what}-{k}" for what in ("box", "card", "pick", "row", "tag"))
        picked, pointed = f"{panel}:has({pick}:checked)", f"{panel}:has(:is({pick},{row}):hover)"
        alone = ":not(:has(:is(.fer-pick,.fer-row):hover))"
        rules += [
            f"{picked}{alone} {card_},{pointed} {card_}{{display:block}}",
            f"{picked} {box},{pointed} {box}{{stroke-width:5}}",
            f"{picked} {tag},{pointed} {tag}{{display:block;z-index:1200}}",
            f"{picked} {row}{{font-weight:700;border-color:currentColor}}",
        ]
    return f"<style>@supports selector(:has(*)){{{''.join(rules)}}}</style>"


def _cards(shown: Sequence[_Shown], language: str, least: float, scope: str) -> str:
    return "".join(
        f'<div class="fer-card fer-one" id="{scope}-card-{each.number}">'
        f"{card(face_name(each.number, language), each.prediction, language, least)}</div>"
        for each in shown
    )


def _stage(image: Image, shown: Sequence[_Shown], language: str, least: float, scope: str) -> str:
    """The picture, the drawing over it, and the places to point at: small ones above large ones."""
    height, width = image.shape[:2]
    marks, tags, picks = [], [], []
    for each in shown:
        place = _place(each.face, width, height)
        short = title(str(each.number), each.prediction, language, least)
        marks.append(_mark(each.face, each.color, f"{scope}-box-{each.number}"))
        text = short if place[2] - place[0] >= WIDE else str(each.number)
        tags.append(_tag(place, each.color, text, f"{scope}-tag-{each.number}"))
        picks.append(_pick(place, each, scope))
    kind = "fer-stage fer-many" if len(shown) > MANY else "fer-stage"
    helped = f' aria-describedby="{scope}-help"' if len(shown) > 1 else ""
    source = jpeg_uri(_shrunk(image, LONGEST))
    return (
        f'<div class="{kind}" role="radiogroup" aria-label="{html.escape(say("image.faces", language))}"{helped}>'
        f'<img src="{source}" alt="{html.escape(say("image.result_alt", language))}">'
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{"".join(marks)}</svg>'
        f"{''.join(tags)}{''.join(picks)}</div>"
    )


def _help(shown: Sequence[_Shown], language: str, scope: str) -> str:
    """How to choose among several faces."""
    words = html.escape(say("face.pick", language))
    return f'<p class="fer-help" id="{scope}-help">{words}</p>' if len(shown) > 1 else ""


def _shrunk(image: Image, longest: int) -> Image:
    """An image whose longer side is at most so many pixels."""
    if max(image.shape[:2]) <= longest:
        return image
    picture = PILImage.fromarray(image)
    picture.thumbnail((longest, longest), reducing_gap=2.0)
    return np.asarray(picture)


def _place(face: Face, width: int, height: int) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a box as shares of the picture, cut at its border."""
    x0, y0, x1, y1 = face.box
    left, right = sorted((min(max(x0 / width, 0), 1), min(max(x1 / width, 0), 1)))
    top, bottom = sorted((min(max(y0 / height, 0), 1), min(max(y1 / height, 0), 1)))
    return left, top, right, bottom


def _mark(face: Face, color: str, name: str) -> str:
    """Box and points; a dark line under the coloured one, so that it shows on any ground."""
    x0, y0, x1, y1 = face.box
    box = f'x="{x0:.1f}" y="{y0:.1f}" width="{max(x1 - x0, 1):.1f}" height="{max(y1 - y0, 1):.1f}"'
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in face.points)
    return (
        f'<rect class="fer-under" {box}/><rect class="fer-box" id="{name}" stroke="{color}" {box}/>'
        f'<path class="fer-under fer-dots" d="{dots}"/><path class="fer-dots" stroke="{color}" d="{dots}"/>'
    )


def _tag(place: tuple[float, float, float, float], color: str, text: str, name: str) -> str:
    """What stands at a box; on the right half of the picture it ends with the box, so that it is not cut."""
    left, top, right, _ = place
    side = f"left:{100 * left:.2f}%" if left < 0.5 else f"right:{100 * (1 - right):.2f}%"
    inside = " fer-inside" if top < HIGH else ""
    style = f"{side};top:{100 * top:.2f}%;border-color:{color}"
    text = html.escape(text)
    return f'<span class="fer-tag{inside}" id="{name}" style="{style}" aria-hidden="true">{text}</span>'


def _pick(place: tuple[float, float, float, float], each: _Shown, scope: str) -> str:
    left, top, right, bottom = place
    width, height = right - left, bottom - top
    style = f"left:{100 * left:.2f}%;top:{100 * top:.2f}%;width:{100 * width:.2f}%;height:{100 * height:.2f}%"
    above = 2 + round(1000 * (1 - width * height))
    name, chosen = html.escape(each.title), " checked" if each.number == 1 else ""
    return (
        f'<input type="radio" class="fer-pick" name="{scope}-pick" id="{scope}-pick-{each.number}"'
        f' value="{each.number}" aria-label="{name}" title="{name}" style="{style};z-index:{above}"{chosen}>'
    )


def _list(shown: Sequence[_Shown], language: str, scope: str) -> str:
    """A row for each face, which picks it in the picture; nothing for a single face."""
    if len(shown) < 2:
        return ""
    rows = "".join(
        f'<label class="fer-row" id="{scope}-row-{each.number}" for="{scope}-pick-{each.number}">'
        f"{swatch(each.color)}{html.escape(each.title)}</label>"
        for each in shown
    )
    heading = html.escape(count_of("face.count", len(shown), language))
    return f'<p class="fer-count">{heading}</p><div class="fer-list">{rows}</div>'


def _downloads(image: Image, predictions: Sequence[Prediction], language: str, least: float) -> str:
    data = json.dumps([each.to_dict() for each in predictions], indent=2).encode()
    table = faces_csv(predictions).encode()
    links = download_link(say("download.json", language), "faces.json", data, "application/json")
    links += download_link(say("download.csv", language), "faces.csv", table, CSV)
    if predictions[0].face is not None:
        picture = jpeg(_drawn(image, predictions, language, least), 92)
        links += download_link(say("download.picture", language), "faces.jpg", picture, "image/jpeg")
    return parts.downloads(links, language)


def _drawn(image: Image, predictions: Sequence[Prediction], language: str, least: float) -> Image:
    """The photo with its boxes and numbers, made small first."""
    small = _shrunk(image, LONGEST_DRAWN)
    scale = max(small.shape[:2]) / max(image.shape[:2])
    placed = [replace(each, face=_scaled(each.face, scale)) for each in predictions if each.face is not None]
    names = [str(number) for number in range(1, len(placed) + 1)]
    return draw(small, placed, language, names=names, least=least)


def _scaled(face: Face, scale: float) -> Face:
    """A face in an image that is so many times as large."""
    x0, y0, x1, y1 = face.box
    return replace(face, box=(x0 * scale, y0 * scale, x1 * scale, y1 * scale), points=face.points * scale)


def faces_csv(predictions: Sequence[Prediction]) -> str:
    """One row per face: number, label, confidence, detector's score, box in pixels, probability of each label."""
    labels = list(dict.fromkeys(label for each in predictions for label in each.scores))
    columns = ["face", "label", "confidence", "detection", "x0", "y0", "x1", "y1", *labels]
    file = io.StringIO()
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    for number, each in enumerate(predictions, 1):
        plain = each.to_dict()
        box = dict(zip(("x0", "y0", "x1", "y1"), plain["box"] or [""] * 4, strict=True))
        row = {"face": number, "label": plain["label"], "confidence": plain["confidence"], "detection": plain["score"]}
        writer.writerow(row | box | plain["scores"])
    return file.getvalue()
