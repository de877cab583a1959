"""fer_hub.faces finds what facenet-pytorch finds, needs no torch for it, and refuses what it cannot use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
import skimage.data
import torch
from facenet_pytorch import MTCNN
from PIL import Image

from fer_hub.faces import ASSETS, FaceDetector
from fer_hub.types import Face, ImageError

ASTRONAUT = Image.fromarray(skimage.data.astronaut())
HEAD = ASTRONAUT.crop((150, 0, 310, 190))


def scaled(side: int, mode: str = "RGB") -> Image.Image:
    return ASTRONAUT.resize((side, side)).convert(mode)


def stretched(width: int, height: int) -> Image.Image:
    return ASTRONAUT.resize((width, height))


def shifted(x: int, y: int) -> Image.Image:
    return ASTRONAUT.transform((400, 300), Image.Transform.AFFINE, (1, 0, x, 0, 1, y))


def turned(degrees: float) -> Image.Image:
    return scaled(320).rotate(degrees, Image.Resampling.BILINEAR)


def mosaic(columns: int, rows: int, width: int = 80, vary: bool = True) -> Image.Image:
    """columns times rows heads, each of another size, so that no two scores are alike."""
    canvas = Image.new("RGB", (columns * width, rows * width * 5 // 4), (90, 110, 130))
    for n in range(columns * rows):
        w = width - (n * 3 % 25 if vary else 0)
        corner = (n % columns * width, n // columns * width * 5 // 4)
        canvas.paste(HEAD.resize((w, w * 6 // 5)), corner)
    return canvas


def bundled(name: str) -> Image.Image:
    return Image.fromarray(getattr(skimage.data, name)()).convert("RGB")


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def gradient(height: int, width: int) -> Image.Image:
    ramp = np.linspace(0, 255, width)[None] * np.linspace(0.2, 1, height)[:, None]
    return Image.fromarray(ramp.astype(np.uint8))


def plain(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), (128, 64, 32))


def sixteen_bit() -> Image.Image:
    grey = np.asarray(scaled(256, "L")).astype(np.uint16)
    return Image.fromarray((grey * 257 >> 8).astype(np.int32)).convert("I")


Make = Callable[[], Image.Image]

IMAGES: dict[str, tuple[Make, int]] = {
    **{f"astronaut at {s}": (lambda s=s: scaled(s), 20) for s in (48, 64, 96, 127, 160, 224, 333, 512, 700)},
    **{f"astronaut at {s}, faces from 40": (lambda s=s: scaled(s), 40) for s in (100, 256, 512, 640)},
    "faces from 10": (lambda: scaled(128), 10),
    "faces from 7 in a small image": (lambda: scaled(60), 7),
    "640 by 480": (lambda: stretched(640, 480), 20),
    "wide": (lambda: stretched(700, 300), 20),
    "tall": (lambda: stretched(211, 500), 20),
    **{f"shifted by {x}, {y}": (lambda x=x, y=y: shifted(x, y), 20)
       for x, y in ((0, 0), (13, 7), (180, 40), (230, 60), (-150, -90), (101, 113))},
    **{f"turned by {d}": (lambda d=d: turned(d), 20) for d in (-30, -12, 5, 20, 45, 90, 180)},
    "2 faces": (lambda: mosaic(2, 1, 120), 20),
    "4 faces": (lambda: mosaic(2, 2, 100), 20),
    "9 faces": (lambda: mosaic(3, 3), 20),
    "9 faces, all alike": (lambda: mosaic(3, 3, vary=False), 20),
    "12 faces, touching": (lambda: mosaic(4, 3, 64), 20),
    "25 faces": (lambda: mosaic(5, 5, 72), 20),
    "25 small faces": (lambda: mosaic(5, 5, 48), 20),
    "mirrored": (lambda: ASTRONAUT.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 40),
    "grey": (lambda: scaled(256, "L"), 20),
    "with alpha": (lambda: scaled(256, "RGBA"), 20),
    "palette": (lambda: scaled(256, "P"), 20),
    "16 bits": (sixteen_bit, 20),
    "black and white": (lambda: scaled(256, "1"), 20),
    "coffee": (lambda: bundled("coffee"), 40),
    "camera": (lambda: bundled("camera"), 40),
    "cat": (lambda: bundled("chelsea"), 40),
    "brick": (lambda: bundled("brick").resize((256, 256)), 20),
    "grass": (lambda: bundled("grass").resize((256, 256)), 20),
    "gravel": (lambda: bundled("gravel").resize((256, 256)), 20),
    "noise": (lambda: noise(240, 320), 20),
    "more noise": (lambda: noise(97, 131, 1), 20),
    "gradient": (lambda: gradient(200, 300), 20),
    "one colour": (lambda: plain(320, 240), 20),
    "black": (lambda: Image.new("RGB", (200, 200)), 20),
    "20 by 3000": (lambda: plain(20, 3000), 20),
    "3000 by 20": (lambda: noise(20, 3000), 20),
    "a strip through the face": (lambda: ASTRONAUT.crop((215, 0, 245, 512)), 20),
    "a face row of 1500 by 60": (lambda: mosaic(30, 1, 48), 20),
    "20 by 20": (lambda: noise(20, 20), 20),
    "19 by 19": (lambda: noise(19, 19), 20),
    "8 by 8": (lambda: noise(8, 8), 20),
    "1 by 1": (lambda: noise(1, 1), 20),
    "1 by 500": (lambda: noise(500, 1), 20),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread() -> Iterator[None]:
    """torch's threads spin: on a busy machine one is faster than two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def ours(min_face_size: int) -> FaceDetector:
    return FaceDetector(min_face_size=min_face_size, threads=2)


@cache
def theirs(min_face_size: int) -> MTCNN:
    return MTCNN(keep_all=True, select_largest=False, min_face_size=min_face_size, device="cpu")


def expected(image: np.ndarray, min_face_size: int) -> list[Face]:
    try:
        boxes, scores, points = theirs(min_face_size).detect(image, landmarks=True)
    except (ValueError, RuntimeError):  # torch.cat of nothing: too small for any face
        return []
    if boxes is None:
        return []
    points = np.asarray(points, np.float32)
    return [Face(tuple(b), float(s), p) for b, s, p in zip(boxes.tolist(), scores, points, strict=True)]


def overlap(one: Face, other: Face) -> float:
    a, b = np.array(one.box), np.array(other.box)
    common = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common))


def astronaut_faces() -> list[Face]:
    return ours(40).detect(np.asarray(ASTRONAUT))


@pytest.mark.parametrize("name", IMAGES)
def test_the_faces_are_those_of_facenet_pytorch(name: str) -> None:
    make, min_face_size = IMAGES[name]
    image = np.asarray(make().convert("RGB"))
    found, wanted = ours(min_face_size).detect(image), expected(image, min_face_size)
    assert len(found) == len(wanted)
    for face in wanted:
        twin = max(found, key=lambda f: overlap(f, face))
        assert overlap(twin, face) >= 0.99
        assert abs(twin.score - face.score) <= 1e-3
        assert np.linalg.norm(twin.points - face.points, axis=1).max() <= 1
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
    np.testing.assert_allclose([f.score for f in found], [f.score for f in wanted], atol=1e-3)


def test_the_table_has_forty_images_and_faces_from_none_to_twenty_five() -> None:
    assert len(IMAGES) >= 40
    assert len(ours(20).detect(np.asarray(mosaic(5, 5, 72)))) == 25


@pytest.mark.parametrize(
    "options",
    [{"thresholds": (0.5, 0.6, 0.9)}, {"thresholds": (0.8, 0.8, 0.5)}, {"factor": 0.5}, {"factor": 0.85}],
    ids=str,
)
def test_the_options_mean_the_same_as_in_facenet_pytorch(options: dict[str, object]) -> None:
    image = np.asarray(mosaic(3, 2))
    found = FaceDetector(min_face_size=30, **options).detect(image)
    boxes, *_ = MTCNN(keep_all=True, select_largest=False, min_face_size=30, **options).detect(image, True)
    np.testing.assert_allclose([f.box for f in found], np.asarray(boxes, float), atol=0.05)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    image = np.asarray(mosaic(3, 3))
    found = FaceDetector(threads=threads).detect(image)
    wanted = ours(20).detect(image)
    np.testing.assert_allclose([f.box for f in found], [f.box for f in wanted], atol=1e-2)


def test_views_and_strides_are_no_matter() -> None:
    image = np.asarray(ASTRONAUT)
    view = np.asarray(ASTRONAUT.transpose(Image.Transpose.FLIP_LEFT_RIGHT))[:, ::-1]
    np.testing.assert_allclose(ours(40).detect(view)[0].box, ours(40).detect(image)[0].box, atol=1e-2)


def test_the_points_are_in_order_left_eye_right_eye_nose_left_and_right_mouth_corner() -> None:
    (face,) = astronaut_faces()
    left_eye, right_eye, nose, left_mouth, right_mouth = face.points
    assert face.points.shape == (5, 2)
    assert face.points.dtype == np.float32
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_a_face_holds_plain_numbers_and_its_points_lie_in_its_box() -> None:
    (face,) = astronaut_faces()
    x0, y0, x1, y1 = face.box
    assert all(type(v) is float for v in (*face.box, face.score))
    assert ((face.points > (x0, y0)) & (face.points < (x1, y1))).all()


def test_refine_follows_a_face_that_has_moved_a_little() -> None:
    (face,) = astronaut_faces()
    (again,) = ours(40).refine(np.asarray(ASTRONAUT), [np.add(face.box, (6, -5, 6, -5))])
    assert overlap(again, face) > 0.7
    assert np.abs(again.points - face.points).max() < 8


def test_refine_sees_a_face_the_same_way_whether_it_is_followed_alone_or_with_others() -> None:
    (face,) = astronaut_faces()
    (alone,) = ours(40).refine(np.asarray(ASTRONAUT), [face.box])
    among = ours(40).refine(np.asarray(ASTRONAUT), [face.box, (5, 5, 60, 60), (400, 400, 500, 500)])
    assert any(np.allclose(alone.box, other.box, atol=1e-3) for other in among)


@pytest.mark.parametrize("boxes", [[], [(400, 10, 500, 110)], [(-90, -90, -10, -10)], [(600, 600, 700, 700)]])
def test_refine_finds_nothing_where_there_is_no_face(boxes: list[tuple[int, ...]]) -> None:
    assert ours(40).refine(np.asarray(ASTRONAUT), boxes) == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"min_face_size": 0}, "min_face_size"),
        ({"min_face_size": -3}, "min_face_size"),
        ({"min_face_size": float("nan")}, "min_face_size"),
        ({"thresholds": (0.6, 0.7)}, "thresholds"),
        ({"thresholds": (0.6, 0.7, 1.1)}, "thresholds"),
        ({"thresholds": (-0.1, 0.7, 0.7)}, "thresholds"),
        ({"thresholds": (0.6, float("nan"), 0.7)}, "thresholds"),
        ({"factor": 0}, "factor"),
        ({"factor": 1}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"threads": 0}, "threads"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=rf"^{word} .*(try|leave)"):
        FaceDetector(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "image",
    [
        None,
        "face.png",
        ASTRONAUT,
        np.zeros((60, 60), np.uint8),
        np.zeros((60, 60, 4), np.uint8),
        np.zeros((3, 60, 60), np.uint8),
        np.zeros((1, 60, 60, 3), np.uint8),
        np.zeros((60, 60, 3), np.float32),
        np.zeros((60, 60, 3), np.uint16),
        np.zeros((0, 60, 3), np.uint8),
    ],
    ids=lambda v: f"{getattr(v, 'shape', type(v).__name__)} {getattr(v, 'dtype', '')}",
)
def test_bad_images_are_refused_with_what_to_do(image: object) -> None:
    for call in (lambda: ours(20).detect(image), lambda: ours(20).refine(image, [(0, 0, 9, 9)])):
        with pytest.raises(ImageError, match=r"uint8 array of shape \(height, width, 3\).*: use "):
            call()


def test_the_networks_are_small_and_their_licence_lies_beside_them() -> None:
    files = {path.name: path for path in ASSETS.iterdir()}
    assert set(files) == {"pnet.onnx", "rnet.onnx", "onet.onnx", "LICENSE"}
    assert sum(path.stat().st_size for path in files.values()) < 2.5e6
    text = files["LICENSE"].read_text()
    assert "MIT" in text
    assert "Timothy Esler" in text


def test_importing_loads_neither_torch_nor_onnxruntime_and_detecting_no_torch() -> None:
    code = (
        "import sys, numpy as np, fer_hub.faces as f;"
        "assert not {'torch', 'onnxruntime'} & set(sys.modules), 'import';"
        "f.FaceDetector().detect(np.zeros((50, 50, 3), np.uint8));"
        "assert 'torch' not in sys.modules, 'detect'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
