"""Images in, network input out: reading, cropping, THE preprocessing, drawing."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, ImageDraw, ImageFont, UnidentifiedImageError
from PIL import Image as PILImage

from .labels import UNCERTAIN, color_of_label, display, ink
from .languages import percent, say
from .types import Array, Face, Image, ImageError, InputSpec, Margin, Prediction

Source = str | os.PathLike[str] | bytes | PILImage.Image | Image
"""What `read` takes: a path, the bytes of a file, a PIL image or an H×W×3 uint8 RGB array."""

MAX_MEGAPIXELS = 64.0
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""What is decoded; PIL knows more, some of it by calling other programs."""
NO_MARGIN = Margin()
BROKEN = (OSError, SyntaxError, ValueError, EOFError)
"""What PIL raises for a damaged file, depending on its format."""
UNREADABLE = (*BROKEN, struct.error, KeyError, TypeError, ZeroDivisionError)
"""What it raises for metadata."""
TURNS = {
    2: PILImage.Transpose.FLIP_LEFT_RIGHT,
    3: PILImage.Transpose.ROTATE_180,
    4: PILImage.Transpose.FLIP_TOP_BOTTOM,
    5: PILImage.Transpose.TRANSPOSE,
    6: PILImage.Transpose.ROTATE_270,
    7: PILImage.Transpose.TRANSVERSE,
    8: PILImage.Transpose.ROTATE_90,
}
"""By EXIF's orientation, what makes an image upright."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
FONT = Path(__file__).parent / "assets" / "fonts" / "DejaVuSans.ttf"
"""Latin letters of all languages; the font that comes with PIL has no Turkish ones."""

warnings.filterwarnings("ignore", category=PILImage.DecompressionBombWarning)  # MAX_MEGAPIXELS is the limit here


def read(source: Source, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """Read an image as H×W×3 uint8 RGB, turned upright by its EXIF orientation.

    Of an animated image the first frame is used; transparent parts are laid on white; 16-bit images are
    scaled to 8 bits.

    Raises:
        ImageError: The source is no image, broken, too large, or an array of the wrong dtype or shape.
    """
    if isinstance(source, np.ndarray):
        return _check_array(source, max_megapixels)
    if isinstance(source, PILImage.Image):
        return _to_rgb(source, "The PIL image", max_megapixels)
    if isinstance(source, bytes):
        return _decode(source, "The data", max_megapixels)
    if isinstance(source, (str, os.PathLike)):
        return _decode(_read_file(Path(source)), str(source), max_megapixels)
    raise ImageError(
        f"Got {type(source).__name__}; an image is a path, bytes, a PIL image or an H×W×3 uint8 RGB array. "
        "Pass one of these."
    )


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file. Check the path.") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}). Give the path of an image file.") from error


def _decode(data: bytes, name: str, max_megapixels: float) -> Image:
    if not data:
        raise ImageError(f"{name} is empty (0 bytes). Give an image file ({', '.join(FORMATS)}).")
    try:
        opened = PILImage.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not an image that can be read. Allowed: {', '.join(FORMATS)}.") from error
    except PILImage.DecompressionBombError as error:
        raise ImageError(f"{name} is too large; at most {max_megapixels:g} megapixels. Scale it down.") from error
    except BROKEN as error:
        raise _damaged(name, error) from error
    with opened:
        return _to_rgb(opened, name, max_megapixels)


def _to_rgb(image: PILImage.Image, name: str, max_megapixels: float) -> Image:
    _check_size(image.width, image.height, name, max_megapixels)
    try:
        image.load()
        return np.asarray(_flatten(_upright(image)))
    except BROKEN as error:
        raise _damaged(name, error) from error


def _upright(image: PILImage.Image) -> PILImage.Image:
    """The image, turned as its metadata say; where they cannot be read, as it is: the pixels are sound.

    `ImageOps.exif_transpose` writes all metadata anew, and fails at what cameras write and it does not know.
    """
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except UNREADABLE:
        return image
    return image if turn is None else image.transpose(turn)


def _damaged(name: str, error: Exception) -> ImageError:
    return ImageError(f"{name} is damaged or cut short ({error}). Save it again as JPEG or PNG.")


def _flatten(image: PILImage.Image) -> PILImage.Image:
    """Any PIL mode to RGB: deep greys scaled to 8 bits, transparency laid on white."""
    if image.mode.startswith("I;16"):
        return PILImage.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return PILImage.fromarray(_stretch(np.asarray(image, dtype=np.float64))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PILImage.new("RGBA", rgba.size, (255, 255, 255, 255))
        return PILImage.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _stretch(values: np.ndarray) -> Image:
    """Numbers of unknown range to 0–255: 0–1, 0–255 and 0–65535 by their maximum."""
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite values")
    top = next((t for t in (1.0, 255.0, 65535.0) if values.max(initial=0.0) <= t), float(values.max()))
    return (values.clip(0, top) * (255.0 / top)).round().astype(np.uint8)


def _check_size(width: int, height: int, name: str, max_megapixels: float) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels ({width}×{height}). Give an image of at least 1×1.")
    megapixels = width * height / 1e6
    if megapixels > max_megapixels:
        raise ImageError(
            f"{name} is {width}×{height} ({megapixels:.0f} megapixels); at most {max_megapixels:g} megapixels "
            "are allowed. Scale it down first."
        )


def _check_array(array: np.ndarray, max_megapixels: float) -> Image:
    want = "an image array is H×W×3 uint8, RGB, 0 to 255"
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"Got an array of shape {array.shape}; {want}. For grey: np.stack([grey] * 3, axis=-1).")
    if array.dtype != np.uint8:
        holds_nan = array.dtype.kind == "f" and not np.isfinite(array).all()
        given = f"{array.dtype} with NaN or infinite values" if holds_nan else str(array.dtype)
        raise ImageError(f"Got an array of {given}; {want}. For 0 to 1 floats: (array * 255).astype('uint8').")
    _check_size(array.shape[1], array.shape[0], "The array", max_megapixels)
    return array


def crop(image: Image, face: Face, margin: Margin = NO_MARGIN, alignment: str = "none") -> Image:
    """Cut a square around a face, framed as the training images are.

    Parts outside the image repeat its border, so that no edge appears that the model has not seen.

    Args:
        image: H×W×3 uint8 RGB.
        face: A face in it.
        margin: How the frame lies around the box.
        alignment: "none", or "eyes" to turn the crop until the eyes are level.

    Returns:
        S×S×3 uint8 RGB, S at least 1.
    """
    x0, y0, x1, y1 = face.box
    unit = max(x1 - x0, y1 - y0, 1.0)
    side = max(1, round(unit * margin.scale))
    centre_x = (x0 + x1) / 2 + margin.shift_x * unit
    centre_y = (y0 + y1) / 2 + margin.shift_y * unit
    if alignment == "none":
        return _cut(image, round(centre_x - side / 2), round(centre_y - side / 2), side)
    if alignment != "eyes":
        raise ValueError(f"Unknown alignment {alignment!r}. Known: none, eyes.")
    return _cut_turned(image, face, centre_x, centre_y, side)


def _cut(image: Image, left: int, top: int, side: int) -> Image:
    """A square of the image; indices past its border are held at the border."""
    height, width = image.shape[:2]
    if left >= 0 and top >= 0 and left + side <= width and top + side <= height:
        return image[top : top + side, left : left + side]
    rows = np.arange(top, top + side).clip(0, height - 1)
    columns = np.arange(left, left + side).clip(0, width - 1)
    square: Image = image[rows[:, None], columns]
    return square


def _cut_turned(image: Image, face: Face, centre_x: float, centre_y: float, side: int) -> Image:
    across = face.points[1] - face.points[0]
    degrees = float(np.degrees(np.arctan2(across[1], across[0])))
    wide = side + 2 * (side // 4 + 1)  # room for the corners of a square turned by any angle
    patch = PILImage.fromarray(_cut(image, round(centre_x - wide / 2), round(centre_y - wide / 2), wide))
    turned = np.asarray(patch.rotate(degrees, PILImage.Resampling.BILINEAR))
    edge = (wide - side) // 2
    return turned[edge : edge + side, edge : edge + side]


def to_array(crops: Sequence[Image], spec: InputSpec) -> Array:
    """THE preprocessing: crops to network input, for training's evaluation, torch and ONNX alike.

    On square grey crops it equals timm's own evaluation transform (`crop_pct` 1.0).

    Args:
        crops: Images of any size, H×W×3 (or H×W, grey) uint8.
        spec: The model's input contract.

    Returns:
        N×C×H×W float32, normalised by the mean and standard deviation.
    """
    height, width = spec.size
    out = np.empty((len(crops), spec.channels, height, width), dtype=np.float32)
    mean = np.asarray(spec.mean, dtype=np.float32).reshape(-1, 1, 1)
    std = np.asarray(spec.std, dtype=np.float32).reshape(-1, 1, 1)
    for target, picture in zip(out, crops, strict=True):
        resized = _resize(picture, spec)
        pixels = resized.astype(np.float32) / np.float32(255)
        target[...] = (pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]) - mean
        target /= std
    return out


def _resize(picture: Image, spec: InputSpec) -> Image:
    pil = PILImage.fromarray(picture)
    if spec.grey or spec.channels == 1:
        pil = pil.convert("L")
    elif pil.mode != "RGB":
        pil = pil.convert("RGB")
    size = (spec.size[1], spec.size[0])
    return np.asarray(pil if pil.size == size else pil.resize(size, PILImage.Resampling[spec.interpolation.upper()]))


def draw(
    image: Image,
    predictions: Sequence[Prediction],
    language: str = "en",
    *,
    names: Sequence[str] = (),
    least: float = 0.0,
) -> Image:
    """A copy of the image with boxes, points, labels and confidences drawn on it (H×W×3 uint8 RGB).

    Args:
        image: H×W×3 uint8 RGB.
        predictions: Those without a face are passed over.
        language: Of the labels; English where it is unknown.
        names: What to write before each label, one for each prediction; none at all: nothing.
        least: A confidence below this is shown in grey and called uncertain, without the label.

    Raises:
        ValueError: There are names, but not one for each prediction.
    """
    if names and len(names) != len(predictions):
        raise ValueError(f"{len(names)} names for {len(predictions)} predictions: give one for each, or none.")
    canvas = PILImage.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    for prediction, name in zip(predictions, names or [""] * len(predictions), strict=True):
        if prediction.face is not None:
            sure = prediction.confidence >= least
            word = display(prediction.label, language) if sure else say("uncertain", language)
            text = f"{name}: " * bool(name) + f"{word} {percent(prediction.confidence, language=language)}"
            _draw_face(pen, prediction.face, text, color_of_label(prediction.label) if sure else UNCERTAIN, image.shape)
    return np.asarray(canvas)


def _draw_face(pen: ImageDraw.ImageDraw, face: Face, text: str, color: str, shape: tuple[int, ...]) -> None:
    height, width = shape[:2]
    x0, y0, x1, y1 = face.box
    line = max(2, round(min(height, width) / 240))
    pen.rectangle((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)), outline=color, width=line)
    for x, y in face.points:
        pen.ellipse((x - line, y - line, x + line, y + line), fill=color)
    font = _font(max(12, min(round((x1 - x0) / 7), 40)))
    left, top, right, bottom = font.getbbox(text)
    text_width, text_height = right - left + 8, bottom - top + 8
    at_x = min(max(0.0, x0), max(0.0, width - text_width))
    at_y = y0 - text_height if y0 >= text_height else min(max(0.0, y1), height - text_height)
    pen.rectangle((at_x, at_y, at_x + text_width, at_y + text_height), fill=color)
    pen.text((at_x + 4 - left, at_y + 4 - top), text, fill=ink(color), font=font)


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font of what is drawn; there are 29 sizes, from 12 to 40 pixels."""
    return ImageFont.truetype(FONT, size)


def save(image: Image, path: Path) -> None:
    """Write an image under another name first, then rename: as PNG, or what the suffix says.

    Raises:
        ImageError: The suffix is none of an image file, or the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{path}: give a file that ends in {', '.join(sorted(SUFFIXES))}.")
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        PILImage.fromarray(image).save(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ImageError(f"{path} cannot be written ({error.strerror or error}). Give another file.") from error
