"""Films made at test time, never committed: faces that move and change, and what is true of them at any moment."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from fer_hub import FaceDetector, Recognizer
from fer_hub.labels import LABEL_SPACES

Picture = NDArray[np.uint8]
Box = tuple[float, float, float, float]

LABELS = LABEL_SPACES["fer2013-7"]
PHOTO = Path(__file__).parents[1] / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
SURE = 0.85
"""What the embedded model must give to a chosen face's label."""
QUICK = {"g": "12", "preset": "ultrafast", "crf": "12", "b": "4M", "deadline": "realtime", "cpu-used": "8"}
"""Of the coders; each takes what it knows."""
PLACES = ((30, 30), (370, 190), (370, 30), (30, 190), (200, 110), (200, 30), (30, 110), (370, 110))
"""Where the face of a visitor of his own is, in a scene of 640×480: no two visitors at one place."""


@lru_cache(maxsize=4)
def faces(count: int, seed: int = 0) -> tuple[tuple[str, Picture], ...]:
    """Faces of FER2013's PublicTest that are found when they are large, and that the embedded model names rightly.

    Without FER2013_DIR: the example photo's one smiling face, again and again.

    Returns:
        (label, 48×48 uint8 grey), the labels in turn.
    """
    if not os.environ.get("FER2013_DIR"):
        photo = PILImage.open(PHOTO).convert("L").crop((172, 70, 282, 180)).resize((48, 48), PILImage.Resampling.BOX)
        return (("happy", np.asarray(photo)),) * count
    queues = _candidates(Path(os.environ["FER2013_DIR"]), seed)
    recognizer = Recognizer.from_pretrained(detector=FaceDetector(min_face_size=40))
    found: list[tuple[str, Picture]] = []
    for turn in range(count):
        label = LABELS[turn % len(LABELS)]
        found.append((label, next(face for face in queues[label] if _is_sure(recognizer, face, label))))
    return tuple(found)


def _candidates(folder: Path, seed: int) -> dict[str, Iterator[Picture]]:
    """PublicTest by label, in a random order."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "public_test.parquet", columns=["image", "label"])
    order = np.random.default_rng(seed).permutation(table.num_rows).tolist()
    images, labels = table["image"], table["label"].to_pylist()
    rows = {name: [i for i in order if labels[i] == number] for number, name in enumerate(LABELS)}
    return {name: map(lambda row: _decoded(images[row].as_py()), its_rows) for name, its_rows in rows.items()}


def _decoded(image: bytes | dict[str, bytes]) -> Picture:
    data = image["bytes"] if isinstance(image, dict) else image
    return np.asarray(PILImage.open(io.BytesIO(data)).convert("L"))


def _is_sure(recognizer: Recognizer, face: Picture, label: str) -> bool:
    """Whether the face is found, alone and about where it is, and named, at two sizes."""
    for side in (200, 260):
        image, (truth,) = scene(0.0, [Person(((label, face),), (190, 110), (0, 0), side)])
        predictions = recognizer(image)
        if len(predictions) != 1 or predictions[0].label != label or predictions[0].confidence < SURE:
            return False
        if predictions[0].face is None or not _inside(predictions[0].face.box, truth.box):
            return False
    return True


def _inside(box: Box, around: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return around[0] < x < around[2] and around[1] < y < around[3] and box[2] - box[0] > (around[2] - around[0]) / 2


@dataclass(frozen=True)
class Person:
    """Someone in a scene.

    Attributes:
        faces: (label, face) that are shown one after the other, and again from the first.
        place: Left upper corner of the face's picture where its path begins, in pixels.
        reach: How far it goes from there, to both sides, in pixels.
        side: Of the picture, in pixels.
        period: Seconds until it is where it was.
        each: Seconds that each face is shown.
    """

    faces: Sequence[tuple[str, Picture]]
    place: tuple[int, int]
    reach: tuple[int, int] = (0, 0)
    side: int = 220
    period: float = 4.0
    each: float = 2.0


@dataclass(frozen=True)
class Truth:
    """What is true of a person at a moment: the label, and the box of the pasted picture."""

    label: str
    box: Box


def scene(time: float, people: Sequence[Person], size: tuple[int, int] = (640, 480)) -> tuple[Picture, list[Truth]]:
    """The scene at a time: the people before a moving gradient.

    Returns:
        H×W×3 uint8 RGB, and the truth of each person.
    """
    image = _background(time, size)
    truths = []
    for person in people:
        label, face = person.faces[int(time / person.each + 1e-6) % len(person.faces)]
        turn = 2 * math.pi * time / person.period
        x = round(person.place[0] + person.reach[0] * math.sin(turn))
        y = round(person.place[1] + person.reach[1] * math.sin(turn))
        image[y : y + person.side, x : x + person.side] = _large(face.tobytes(), len(face), person.side)[..., None]
        truths.append(Truth(label, (x, y, x + person.side, y + person.side)))
    return image, truths


def _background(time: float, size: tuple[int, int]) -> Picture:
    """Three slow waves of colour that are back where they were after 4 seconds."""
    width, height = size
    turn = 2 * math.pi * time / 4
    across, down = np.linspace(0, 3, width), np.linspace(0, 2, height)
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = (110 + 30 * np.sin(across + turn))[None]
    image[..., 1] = (120 + 30 * np.sin(down + turn))[:, None]
    image[..., 2] = (100 + 30 * np.sin(across + 1))[None]
    return image


@lru_cache(maxsize=64)
def _large(face: bytes, own: int, side: int) -> Picture:
    picture = PILImage.frombytes("L", (own, own), face)
    return np.asarray(picture.resize((side, side), PILImage.Resampling.BICUBIC))


def visitor(number: int, seed: int = 0) -> list[Person]:
    """The one person before a visitor's camera: a face and a place of its own, for up to 8 visitors."""
    chosen = faces(8, seed)[number % 8]
    return [Person((chosen,), PLACES[number % len(PLACES)], (15, 8))]


def pictures(people: Sequence[Person], times: Iterable[float], size: tuple[int, int] = (640, 480)) -> Iterator[Picture]:
    """The scene at each of these times."""
    return (scene(time, people, size)[0] for time in times)


def even_times(seconds: float, fps: float) -> list[float]:
    """The times of a film's frames."""
    return [i / fps for i in range(round(seconds * fps))]


def y4m(path: Path, frames: Iterable[Picture], size: tuple[int, int] = (640, 480), fps: int = 30) -> Path:
    """A film for Chromium's camera (`--use-file-for-fake-video-capture`), which plays it again and again.

    Frames of a multiple of 4 seconds of `pictures` go on smoothly from the last to the first.
    """
    width, height = size
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            planes = np.asarray(PILImage.fromarray(frame).convert("YCbCr"))
            file.write(b"FRAME\n" + planes[..., 0].tobytes())
            for plane in (1, 2):
                file.write(planes[::2, ::2, plane].tobytes())
    return path


def mp4(
    path: Path,
    frames: Iterable[Picture],
    times: Sequence[float],
    *,
    audio: str | None = None,
    rotate: int = 0,
    codec: str = "libx264",
    pixels: str = "yuv420p",
) -> Path:
    """A film with a frame at each of these times, each shown until the next, the last as long as the one before.

    Args:
        path: The suffix says the container: .mp4, .webm, .mkv, .avi, .ts …
        frames: H×W×3 uint8 RGB, upright.
        times: In seconds, from 0.
        audio: PyAV's name of a coder, for a tone as long as the film; None: no sound.
        rotate: Degrees to the left (a multiple of 90) by which a player must turn the stored frames.
        codec: PyAV's name of a video coder.
        pixels: Of the stored frames; "yuv444p" allows odd sizes.
    """
    import av

    step = times[-1] - times[-2]
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=Fraction(1 / step).limit_denominator(1001), options=QUICK)
        video.pix_fmt, video.codec_context.time_base = pixels, Fraction(1, 30_000)
        if rotate:
            video.set_display_rotation(rotate)
        sound = container.add_stream(audio, rate=48_000, layout="mono") if audio else None
        heard = 0
        for frame, time in zip(frames, times, strict=True):
            stored = np.ascontiguousarray(np.rot90(frame, -rotate // 90))
            if not video.codec_context.is_open:
                video.height, video.width = stored.shape[:2]
            picture = av.VideoFrame.from_ndarray(stored)
            picture.pts, picture.time_base = round(time * 30_000), Fraction(1, 30_000)
            container.mux(video.encode(picture))
            while sound is not None and heard < round((time + step) * 48_000):
                container.mux(sound.encode(_tone(heard)))
                heard += 960
        for stream in (video, sound):
            if stream is not None:
                container.mux(stream.encode(None))
    return path


def _tone(start: int, count: int = 960) -> object:
    """A fiftieth of a second of 440 Hz."""
    import av

    wave = np.sin(2 * np.pi * 440 / 48_000 * np.arange(start, start + count))
    frame = av.AudioFrame.from_ndarray((wave * 8_000).astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
    return frame
