"""What the pieces share: pictures and downloads inside the page, titles, bars."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image as PILImage

from ..labels import UNCERTAIN, color_of_label, display
from ..languages import number, percent, say
from ..listing import title_of
from ..types import Image, Prediction

CSV = "text/csv;charset=utf-8"
"""Media type of a table."""


def data_uri(data: bytes, kind: str) -> str:
    """Data as an address that holds it: ``data:image/jpeg;base64,…``.

    Args:
        data: The bytes of a file.
        kind: Its media type: "image/jpeg", `CSV`.
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def jpeg(image: Image, quality: int = 85) -> bytes:
    """An image (H×W×3 uint8 RGB) as the bytes of a JPEG file."""
    file = io.BytesIO()
    PILImage.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def jpeg_uri(image: Image, quality: int = 85) -> str:
    """An image (H×W×3 uint8 RGB) as an address that holds it as a JPEG file."""
    return data_uri(jpeg(image, quality), "image/jpeg")


def download_link(text: str, name: str, data: bytes, kind: str) -> str:
    """A link, styled as a button, that saves data held in the page itself: nothing is stored on the server.

    Args:
        text: On the button.
        name: Of the file to save.
        data: Its bytes.
        kind: Its media type.
    """
    return (
        f'<a class="fer-button" download="{html.escape(name)}" href="{html.escape(data_uri(data, kind))}">'
        f'<span aria-hidden="true">↓</span> {html.escape(text)}</a>'
    )


def downloads(links: str, language: str) -> str:
    """A row of buttons.

    Args:
        links: As `download_link` makes them, one after the other.
        language: Of what the row is called.
    """
    return (
        f'<div class="fer-downloads" role="group" aria-label="{html.escape(say("download", language))}">{links}</div>'
    )


def accuracy(figures: Mapping[str, Any], dataset: str | None, digits: int, language: str) -> str:
    """Accuracy, data set and number of test images, as plain text: "70.5 % (FER2013, n = 3,589)".

    Args:
        figures: As `fer_hub.listing.figures_of` gives them.
        dataset: As `fer_hub.listing.dataset_of` gives it: accuracies on different ones do not compare.
        digits: After the point.
        language: Of the numbers.

    Returns:
        "" where no accuracy is stated; without what else is not.
    """
    if figures.get("accuracy") is None:
        return ""
    known = [title_of(dataset)] if dataset else []
    known += [f"n = {number(figures['n'], 0, language)}"] if figures.get("n") is not None else []
    return percent(figures["accuracy"], digits, language) + (f" ({', '.join(known)})" if known else "")


def face_name(number: int, language: str, whole: bool = False) -> str:
    """What the face of a number, from 1, is called, as plain text: "Face 2"; a whole image taken as one is none."""
    return say("face.whole" if whole else "face", language, number=number)


def title(name: str, prediction: Prediction, language: str, least: float) -> str:
    """What a face shows, in words, not yet escaped: "Face 2: Happy 89 %"; below `least` it is called uncertain."""
    key = "face.uncertain" if prediction.confidence < least else "face.title"
    return say(
        key,
        language,
        name=name,
        label=display(prediction.label, language),
        confidence=percent(prediction.confidence, 0, language),
    )


def said(words: str) -> str:
    """A sentence in place of a result, as HTML, which a screen reader is told of (``assets/announce.js``)."""
    return f'<p class="fer-none fer-said">{html.escape(words)}</p>'


def color_of(prediction: Prediction, least: float) -> str:
    """The colour of a face's expression; grey where its confidence is below `least`."""
    return UNCERTAIN if prediction.confidence < least else color_of_label(prediction.label)


def swatch(color: str) -> str:
    """A small square of a colour, beside the text that says the same."""
    return f'<span class="fer-swatch" style="background:{color}" aria-hidden="true"></span>'


def card(name: str, prediction: Prediction, language: str, least: float) -> str:
    """A face's title and bars."""
    heading = f"{swatch(color_of(prediction, least))}{html.escape(title(name, prediction, language, least))}"
    return f'<p class="fer-title">{heading}</p>{bars(prediction, language, least)}'


def bars(prediction: Prediction, language: str = "en", least: float = 0.0) -> str:
    """The probabilities of all expressions, in the model's order, the most probable one in bold.

    The order is the same for every face, so that bars do not jump from frame to frame.

    Args:
        prediction: Of one face.
        language: Of the names and numbers.
        least: The confidence below which the face is called uncertain, 0 to 1: a line across the bars; 0: none.
    """
    line = f' style="--least:{100 * least:.1f}%"' if least > 0 else ""
    kind = "fer-bars fer-limited" if line else "fer-bars"
    rows = "".join(
        _bar(label, score, label == prediction.label, language) for label, score in prediction.scores.items()
    )
    return f'<ul class="{kind}" role="list"{line}>{rows}</ul>'


def _bar(label: str, score: float, top: bool, language: str) -> str:
    kind = ' class="fer-top"' if top else ""
    name, share = html.escape(display(label, language)), percent(score, 1, language)
    return f"<li{kind}><span>{name}</span>{bar(label, score)}<span>{share}</span></li>"


def bar(label: str, score: float) -> str:
    """A bar of an expression's colour as long as its probability, 0 to 1; for the eye only."""
    style = f"width:{min(max(100 * score, 0.0), 100.0):.1f}%;background:{color_of_label(label)}"
    return f'<span class="fer-bar" aria-hidden="true"><i style="{style}"></i></span>'
