from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image as PILImage
from PIL import ImageColor, ImageOps

from fer_hub.image import FONT, _cut, _font, crop, draw, read, to_array
from fer_hub.labels import COLORS, DISPLAY, UNCERTAIN
from fer_hub.languages import LANGUAGES, percent, say
from fer_hub.types import Face, ImageError, InputSpec, Margin, Prediction

RNG = np.random.default_rng(0)
PICTURE = np.repeat(np.repeat(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8), 8, 0), 8, 1)
"""48×64, in blocks, so that it survives JPEG."""
TIFF = struct.Struct("<4sIHHHIIHHIIIii")
"""A head, orientation and exposure bias, no further directory, the bias."""


def encoded(image: PILImage.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pil(array: np.ndarray = PICTURE) -> PILImage.Image:
    return PILImage.fromarray(array)


def face(box: tuple[float, float, float, float], points: np.ndarray | None = None) -> Face:
    return Face(box, 1.0, np.zeros((5, 2), np.float32) if points is None else points.astype(np.float32))


def test_path_bytes_pil_and_array_give_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "ölçü 1.png"
    pil().save(path)
    for source in (path, str(path), path.read_bytes(), pil(), PICTURE):
        assert np.array_equal(read(source), PICTURE)


def test_an_array_is_not_copied() -> None:
    assert read(PICTURE) is PICTURE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_the_usual_formats_are_read(kind: str) -> None:
    assert read(encoded(pil(), kind)).shape == PICTURE.shape


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"])
def test_every_mode_of_pil_becomes_rgb(mode: str) -> None:
    grey = pil().convert("L")
    image = grey if mode in ("I;16",) else pil().convert("RGB" if mode in ("LAB", "HSV", "YCbCr") else "RGBA")
    if mode == "I;16":
        image = PILImage.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    elif mode == "LAB":
        image = PILImage.new("LAB", pil().size, (200, 128, 128))
    elif mode in ("PA", "LA"):
        image = grey.convert("LA").convert(mode) if mode == "PA" else grey.convert("LA")
    else:
        image = image.convert("RGB").convert(mode)
    assert image.mode == mode
    got = read(image)
    assert got.dtype == np.uint8
    assert got.shape == PICTURE.shape
    assert got.std() > 5 or mode == "LAB"


def test_sixteen_bits_are_scaled_not_cut() -> None:
    deep = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    got = read(encoded(PILImage.fromarray(deep)))
    assert np.abs(got[:, :, 0].astype(int) - (deep >> 8)).max() <= 1


def test_transparency_is_laid_on_white() -> None:
    assert (read(PILImage.new("RGBA", (4, 4), (255, 0, 0, 0))) == 255).all()
    palette = PILImage.new("P", (4, 4), 0)
    palette.info["transparency"] = 0
    assert (read(palette) == 255).all()


def test_exif_rotation_is_undone() -> None:
    exif = PILImage.Exif()
    exif[274] = 6
    assert read(encoded(pil(), "JPEG", exif=exif)).shape == (64, 48, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    ("metadata", "turned"),
    [
        (b"", False),
        (b"II*", False),
        (b"junk, and much of it", False),
        (b"II*\0\xff\xff\xff\xff", False),
        (TIFF.pack(b"II*\0", 8, 2, 0x0112, 3, 1, 6, 0x9204, 10, 1, 38, 0, -1, 0), True),  # exposure bias -1/0
        (TIFF.pack(b"II*\0", 8, 2, 0x0112, 3, 1, 99, 0x9204, 10, 1, 38, 0, 1, 3), False),  # no such orientation
    ],
)
def test_metadata_that_cannot_be_read_do_not_spoil_a_sound_photo(metadata: bytes, turned: bool) -> None:
    data = encoded(pil(), "JPEG", exif=b"Exif\0\0" + metadata)
    assert read(data).shape == ((64, 48, 3) if turned else (48, 64, 3))


@pytest.mark.parametrize("orientation", range(9))
def test_every_orientation_is_undone_as_pil_itself_does(orientation: int) -> None:
    exif = PILImage.Exif()
    exif[274] = orientation
    data = encoded(pil(), "PNG", exif=exif)
    assert (read(data) == np.asarray(ImageOps.exif_transpose(PILImage.open(io.BytesIO(data))))).all()


def test_of_an_animation_the_first_frame_is_read() -> None:
    frames = [PILImage.new("RGB", (8, 8), color) for color in ("red", "blue")]
    got = read(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert got[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "empty"),
        (b"not an image at all", "not an image"),
        (encoded(pil(), "EPS"), "not an image that can be read. Allowed: JPEG"),
        (encoded(pil())[:200], "damaged or cut short"),
        (encoded(pil(), "JPEG")[:300], "damaged or cut short"),
        (encoded(pil()), None),
        (None, "Got NoneType"),
        (3, "Got int"),
        (np.zeros((4, 4), np.uint8), "shape"),
        (np.zeros((4, 4, 4), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (PILImage.fromarray(np.full((4, 4), np.nan, np.float32)), "NaN"),
        ("no/such/file.jpg", "no such file"),
        (".", "cannot be read"),
    ],
)
def test_bad_input_gets_one_sentence_that_says_what_to_do(source: object, message: str | None) -> None:
    if message is None:
        assert read(source).shape == PICTURE.shape  # the whole of what was cut short above
        return
    with pytest.raises(ImageError, match=message) as caught:
        read(source)
    assert "\n" not in str(caught.value)


def test_an_enormous_image_is_refused_by_its_header() -> None:
    bomb = encoded(PILImage.new("1", (30_000, 30_000)))
    assert len(bomb) < 1e6
    with pytest.raises(ImageError, match="megapixels"):
        read(bomb)
    with pytest.raises(ImageError, match="megapixels"):
        read(PICTURE, max_megapixels=0.001)


@pytest.mark.parametrize("size", [32, 96, 112, 224])
@pytest.mark.parametrize("side", [48, 300])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_preprocessing_equals_timms_evaluation_transform(size: int, side: int, interpolation: str) -> None:
    grey = RNG.integers(0, 256, (side, side), dtype=np.uint8)
    picture = np.stack([grey] * 3, axis=-1)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    transform = timm.data.create_transform((3, size, size), interpolation=interpolation, mean=mean, std=std, crop_pct=1)
    want = transform(PILImage.fromarray(picture)).numpy()
    got = to_array([picture], InputSpec((size, size), 3, mean, std, interpolation))
    assert got.dtype == np.float32
    assert np.abs(got[0] - want).max() < 1e-5


def test_grey_and_colour_sources_agree_for_grey_models() -> None:
    spec = InputSpec((48, 48), 1, (0.5,), (0.5,))
    grey = RNG.integers(0, 256, (60, 60), dtype=np.uint8)
    assert np.array_equal(to_array([grey], spec), to_array([np.stack([grey] * 3, axis=-1)], spec))
    assert to_array([], spec).shape == (0, 1, 48, 48)


def test_colour_is_kept_where_the_model_wants_it() -> None:
    spec = InputSpec((8, 8), 3, (0.0,) * 3, (1.0,) * 3, grey=False)
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert to_array([red], spec)[0].mean((1, 2)).tolist() == [1.0, 0.0, 0.0]


def test_a_crop_without_margin_is_the_square_around_the_box() -> None:
    assert np.array_equal(crop(PICTURE, face((10, 12, 30, 32))), PICTURE[12:32, 10:30])
    tall = crop(PICTURE, face((20, 4, 30, 44)))
    assert np.array_equal(tall, PICTURE[4:44, 5:45])


def test_the_margin_scales_and_shifts_by_the_longer_side() -> None:
    got = crop(PICTURE, face((20, 14, 40, 34)), Margin(scale=1.2, shift_x=0.1, shift_y=-0.1))
    assert np.array_equal(got, PICTURE[10:34, 20:44])


def test_a_crop_past_the_border_repeats_it() -> None:
    got = crop(PICTURE, face((-10, -10, 10, 10)))
    assert got.shape == (20, 20, 3)
    assert (got[:10, :10] == PICTURE[0, 0]).all()
    assert np.array_equal(_cut(PICTURE, 100, 100, 3), np.broadcast_to(PICTURE[-1, -1], (3, 3, 3)))


def test_eye_levelling_turns_the_crop_until_the_eyes_are_level() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    eyes = np.array([(70, 80), (130, 120)])
    for x, y in eyes:
        picture[y - 4 : y + 5, x - 4 : x + 5] = 255
    points = np.concatenate([eyes, np.full((3, 2), 100)])
    turned = crop(picture, face((50, 50, 150, 150), points), alignment="eyes")[..., 0]
    rows, columns = np.nonzero(turned > 128)
    left, right = rows[columns < 50].mean(), rows[columns >= 50].mean()
    assert turned.shape == (100, 100)
    assert abs(left - right) < 1.5
    with pytest.raises(ValueError, match="none, eyes"):
        crop(picture, face((50, 50, 150, 150)), alignment="nose")


def test_drawing_leaves_the_image_alone_and_copes_with_boxes_outside_it() -> None:
    boxes = [(10.0, 10.0, 40.0, 40.0), (-20.0, -30.0, 500.0, 600.0), (5.0, 5.0, 5.0, 5.0)]
    predictions = [Prediction("happy", 0.9, {"happy": 0.9, "sad": 0.1}, face(box)) for box in boxes]
    before = PICTURE.copy()
    drawn = draw(PICTURE, [*predictions, Prediction("sad", 0.6, {"sad": 0.6}, None)])
    assert drawn.shape == PICTURE.shape
    assert not np.array_equal(drawn, PICTURE)
    assert np.array_equal(PICTURE, before)


def smiling(box: tuple[float, float, float, float], confidence: float = 0.6) -> Prediction:
    return Prediction("happy", confidence, {"happy": confidence, "sad": 1 - confidence}, face(box))


WALL = np.full((200, 300, 3), 40, np.uint8)


@pytest.mark.parametrize(
    ("confidence", "least", "color"),
    [(0.6, 0.0, COLORS["happy"]), (0.6, 0.6, COLORS["happy"]), (0.6, 0.61, UNCERTAIN), (0.0, 0.5, UNCERTAIN)],
)
def test_a_box_has_the_colour_of_its_label_and_is_grey_where_that_is_uncertain(
    confidence: float, least: float, color: str
) -> None:
    drawn = draw(WALL, [smiling((60, 60, 160, 160), confidence)], least=least)
    assert tuple(drawn[110, 60]) == ImageColor.getrgb(color)
    assert tuple(drawn[110, 110]) == (40, 40, 40)


def test_what_is_written_follows_name_language_label_and_certainty() -> None:
    box = (60.0, 60.0, 160.0, 160.0)
    texts = {
        "plain": draw(WALL, [smiling(box)]),
        "named": draw(WALL, [smiling(box)], names=["3"]),
        "otherwise named": draw(WALL, [smiling(box)], names=["4"]),
        "Turkish": draw(WALL, [smiling(box)], "tr"),
        "uncertain": draw(WALL, [smiling(box)], least=0.9),
        "uncertain in Turkish": draw(WALL, [smiling(box)], "tr", least=0.9),
    }
    different = {drawn.tobytes() for drawn in texts.values()}
    assert len(different) == len(texts)
    assert np.array_equal(draw(WALL, [smiling(box)], "xx", names=[""]), texts["plain"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_character_that_is_drawn_has_a_glyph(language: str) -> None:
    font = _font(24)
    missing = bytes(font.getmask("\ue000"))
    texts = [*DISPLAY[language].values(), say("uncertain", language), percent(0.5, 1, language), "Person 10:"]
    drawn = {letter for text in texts for letter in text if not letter.isspace()}
    assert len(drawn) > 20
    assert [letter for letter in sorted(drawn) if bytes(font.getmask(letter)) in (missing, b"")] == []


def test_the_font_is_small_and_its_licence_lies_beside_it() -> None:
    assert FONT.stat().st_size < 120_000
    assert "Bitstream Vera" in FONT.with_name("LICENSE").read_text(encoding="utf-8")


def test_names_belong_to_their_predictions_even_past_one_without_a_face() -> None:
    first, last = smiling((20, 60, 100, 140)), smiling((180, 60, 260, 140))
    whole = Prediction("sad", 0.9, {"sad": 0.9}, None)
    both = draw(WALL, [first, whole, last], names=["1", "2", "3"])
    assert np.array_equal(both[:, :150], draw(WALL, [first], names=["1"])[:, :150])
    assert np.array_equal(both[:, 150:], draw(WALL, [last], names=["3"])[:, 150:])


@pytest.mark.parametrize("names", [["1"], ["1", "2", "3"]])
def test_names_that_do_not_fit_the_predictions_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match=f"{len(names)} names for 2 predictions: give one for each"):
        draw(WALL, [smiling((20, 60, 100, 140))] * 2, names=names)
