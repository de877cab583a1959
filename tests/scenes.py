"""What a visitor's camera sends: a film whose frames say, in a strip at their foot, whose they are and which."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence

import films
import numpy as np
from films import Person, Picture
from PIL import Image as PILImage

WIDTH, HEIGHT, STRIP = 640, 480, 24
VISITOR_BITS, NUMBER_BITS = 6, 12
FIELDS = 2 + VISITOR_BITS + NUMBER_BITS
"""A dark field, the visitor, the number, a light field: twice, since a box may be drawn over a part of them."""


def film(visitor: int, people: Sequence[Person] | None = None, frames: int = 80, pace: float = 0.1) -> list[str]:
    """Frames as a browser sends them: data URLs of 640×480 JPEGs, marked with the visitor and the frame's number.

    Args:
        visitor: 0 to 63.
        people: Who is seen; left out, the visitor's own person of `films.visitor`.
        frames: How many, 4096 at most; at 80 the film can be shown again and again without a jump.
        pace: Seconds between two.
    """
    seen = films.pictures(films.visitor(visitor) if people is None else people, (n * pace for n in range(frames)))
    return [data_url(marked(picture, visitor, number)) for number, picture in enumerate(seen)]


def marked(picture: Picture, visitor: int, number: int) -> Picture:
    """The picture with the strip over its foot."""
    bits = [0, *_bits(visitor, VISITOR_BITS), *_bits(number, NUMBER_BITS), 1] * 2
    copy = picture.copy()
    copy[-STRIP:] = np.repeat(np.array(bits, np.uint8) * 255, WIDTH // len(bits))[None, :, None]
    return copy


def read_mark(picture: Picture) -> tuple[int, int]:
    """Visitor and number of a marked picture, of any size.

    Raises:
        ValueError: There is no strip at its foot, or something is drawn over it.
    """
    height, width = picture.shape[:2]
    row = picture[round(height * (1 - STRIP / 2 / HEIGHT))].mean(axis=1)
    both = [bool(row[int((field + 0.5) * width / FIELDS / 2)] > 127) for field in range(2 * FIELDS)]
    bits = both[:FIELDS]
    if bits[0] or not bits[-1] or bits != both[FIELDS:]:
        raise ValueError("The picture has no strip at its foot, or something is drawn over it.")
    return _number(bits[1 : 1 + VISITOR_BITS]), _number(bits[1 + VISITOR_BITS : -1])


def _bits(number: int, count: int) -> list[int]:
    return [number >> place & 1 for place in range(count)]


def _number(bits: Iterable[bool]) -> int:
    return sum(bit << place for place, bit in enumerate(bits))


def data_url(picture: Picture) -> str:
    """The picture as a browser's canvas gives it: a JPEG of quality 0.92."""
    buffer = io.BytesIO()
    PILImage.fromarray(picture).save(buffer, "JPEG", quality=92)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
