"""Why a model said so: heat maps of several methods and models beside each other."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PILImage

from ..labels import display
from ..languages import percent, say
from ..types import Image
from .parts import jpeg_uri

if TYPE_CHECKING:
    from ..explain import Explanation

SIDE = 240
"""Pixels of a map in the page."""


def heat_grid(
    crops: Mapping[str, Image],
    methods: Sequence[str],
    rows: Mapping[str, Mapping[str, Explanation | str]],
    language: str = "en",
) -> str:
    """A row for each model, a column for each method; on the left the face as that model is given it.

    Args:
        crops: By model, H×W×3 uint8 RGB: each cuts the face by its own margin.
        methods: Names of `fer_hub.explain.EXPLAINERS`, in the order of the columns.
        rows: By model and method: an explanation, or a sentence, as plain text, that says why there is none. What is
            not there is shown as still to come.
        language: Of the names and numbers.
    """
    names = {method: say(f"explain.method.{method}", language) for method in methods}
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names.values())
    body = "".join(
        f'<tr><th scope="row"><span>{html.escape(model)}</span>{_face(crops[model], language)}</th>'
        f"{''.join(f'<td>{_cell(found.get(each), model, names[each], language)}</td>' for each in methods)}</tr>"
        for model, found in rows.items()
    )
    label = html.escape(say("explain.table", language))
    return (
        f'<div class="fer-scroll" role="region" tabindex="0" aria-label="{label}"><table class="fer-maps">'
        f"<caption><span>{html.escape(say('explain.how', language))}</span></caption>"
        f'<thead><tr><th scope="col">{html.escape(say("model", language))}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _face(face: Image, language: str) -> str:
    picture = np.asarray(PILImage.fromarray(face).resize((SIDE, SIDE), PILImage.Resampling.BICUBIC))
    return _picture(picture, say("explain.crop_alt", language))


def _cell(found: Explanation | str | None, model: str, method: str, language: str) -> str:
    if found is None:
        return f'<div class="fer-waiting">{html.escape(say("explain.waiting", language))}…</div>'
    if isinstance(found, str):
        return f'<p class="fer-none">{html.escape(found)}</p>'
    label = display(found.label, language)
    alt = say("explain.map_alt", language, method=method, model=model, label=label)
    words = html.escape(caption(found, language))
    return f"<figure>{_picture(found.overlay(side=SIDE), alt)}<figcaption>{words}</figcaption></figure>"


def caption(found: Explanation, language: str) -> str:
    """The label that a map explains and its probability, as plain text: "Happy, 96.4 %"."""
    label, probability = display(found.label, language), percent(found.probability, 1, language)
    return say("explain.caption", language, label=label, probability=probability)


def _picture(image: Image, alt: str) -> str:
    return f'<img src="{jpeg_uri(image, 90)}" width="{SIDE}" height="{SIDE}" alt="{html.escape(alt)}">'
