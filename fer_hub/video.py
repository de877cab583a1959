"""Video in; annotated video and the faces' timeline out, a frame at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from .image import draw
from .recognizer import Recognizer
from .smoothing import HALF_LIFE
from .timeline import Timeline
from .tracking import EVERY, Tracked, Tracker
from .types import Face, Image, Prediction, VideoError
from .video_reader import DecodedFrame, Video, check_length, inspect_video, reading, upright
from .video_writer import writing

LONGEST = 1280
"""Faces are looked for in frames of at most this side, in pixels: in 4K that takes a ninth of the time."""
PAUSE = 0.1
"""Seconds between two reports of progress, at least."""
PREVIEW = 1.0
"""Seconds between two pictures in them, at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How far the work is.

    Attributes:
        frames: Done so far.
        expected: How many there will be, about; None where the file does not say.
        seconds: Of the video done so far.
        duration: The video's length in seconds; None where the file does not say.
        faces: In the latest frame.
        elapsed: Seconds of work.
        preview: The latest annotated frame (H×W×3 uint8 RGB), about once a second and at the end; otherwise None.
        notes: What went wrong without stopping the work: sentences, in the last report.
        done: Whether this is the last report, and the annotated video is in its place.
    """

    frames: int
    expected: int | None
    seconds: float
    duration: float | None
    faces: int
    elapsed: float
    preview: Image | None
    notes: tuple[str, ...] = ()
    done: bool = False


def annotate(
    source: str | os.PathLike[str],
    recognizer: Recognizer,
    out: str | os.PathLike[str] | None = None,
    timeline: Timeline | None = None,
    *,
    every: int = EVERY,
    half_life: float = HALF_LIFE,
    least: float = 0.0,
    language: str = "en",
    max_seconds: float | None = None,
) -> Generator[Progress]:
    """Name the expression of every face in a video, as the reports of progress are asked for.

    The annotated video has the times and the sound of the original (AAC and MP3 as they are, other sound as AAC),
    is turned upright, and is complete or not there at all: closing the generator leaves nothing behind. Memory does
    not grow with the length. Of a damaged video, what can be decoded is kept, and the last report's notes say so.

    Args:
        source: A video file.
        recognizer: Finds the faces and names their expressions.
        out: The MP4 to write; None: none.
        timeline: Takes the smoothed predictions of every frame; times in seconds from the video's beginning.
        every: Frames between two full detections; the faces are followed in between.
        half_life: Of the smoothing, in seconds; 0: none.
        least: Confidence below which a face is drawn as uncertain.
        language: Of the drawn labels.
        max_seconds: Longer videos are refused; None: any length.

    Yields:
        At most about ten reports a second, and one at the end.

    Raises:
        VideoError: The file is no usable video, too long or too large, `out` cannot be written, or PyAV is missing.
        ValueError: `every` or `half_life` is out of range.
    """
    tracker = Tracker(recognizer, every, half_life)
    pace = _Pace()
    video = inspect_video(source, max_seconds)
    scene, picture = None, None
    with ExitStack() as stack:
        reader = stack.enter_context(reading(video))
        writer = stack.enter_context(writing(Path(out), video, reader)) if out is not None else None
        for number, frame in enumerate(reader.frames(writer.on_sound if writer else None), 1):
            check_length(video, frame.time, max_seconds)
            scene = _seen(video, frame, number, tracker)
            if timeline is not None:
                timeline.add(frame.time, [(one.id, one.prediction) for one in scene.tracked])
            due, peek = pace.step()
            picture = _drawn(video, scene, least, language) if writer or peek else None
            if writer is not None and picture is not None:
                writer.picture(picture, frame.time, frame.duration)
            if due:
                yield _report(video, scene, pace.elapsed, picture if peek else None)
        if scene is None:
            raise VideoError(
                f"{video.path} changed while it was read: its frames are gone. Give it again when it is whole."
            )
    picture = _drawn(video, scene, least, language) if picture is None else picture
    yield replace(_report(video, scene, pace.elapsed, picture), notes=tuple(video.notes), done=True)


class _Pace:
    """When a report is due, and when a picture with it."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._said, self._shown = -PAUSE, -PREVIEW

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._started

    def step(self) -> tuple[bool, bool]:
        """(a report is due, with a picture), asked once for each frame."""
        now = self.elapsed
        due = now - self._said >= PAUSE
        peek = due and now - self._shown >= PREVIEW
        self._said = now if due else self._said
        self._shown = now if peek else self._shown
        return due, peek


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """A frame and the faces in it.

    Attributes:
        number: Of the frame, from 1.
        frame: As it was decoded.
        small: What faces were looked for in, H×W×3 uint8 RGB.
        tracked: The faces, at their places in the frame in full size.
    """

    number: int
    frame: DecodedFrame
    small: Image
    tracked: list[Tracked]


def _seen(video: Video, frame: DecodedFrame, number: int, tracker: Tracker) -> _Scene:
    small = upright(video, frame.picture, LONGEST)
    return _Scene(number, frame, small, _enlarged(tracker(small, frame.time), video.width / small.shape[1]))


def _report(video: Video, scene: _Scene, elapsed: float, preview: Image | None) -> Progress:
    end = scene.frame.time + scene.frame.duration
    return Progress(scene.number, video.frames, end, video.seconds, len(scene.tracked), elapsed, preview)


def _drawn(video: Video, scene: _Scene, least: float, language: str) -> Image:
    """The frame in full size, with the faces in it."""
    whole = scene.small.shape[:2] == (video.height, video.width)
    image = scene.small if whole else upright(video, scene.frame.picture)
    names = [str(one.id) for one in scene.tracked]
    return draw(image, [one.prediction for one in scene.tracked], language, names=names, least=least)


def _enlarged(tracked: Sequence[Tracked], factor: float) -> list[Tracked]:
    """Faces of a frame that was scaled down, at their places in the frame itself."""
    if factor == 1:
        return list(tracked)
    return [replace(one, prediction=_moved(one.prediction, factor)) for one in tracked]


def _moved(prediction: Prediction, factor: float) -> Prediction:
    if prediction.face is None:
        return prediction
    x0, y0, x1, y1 = prediction.face.box
    box = (x0 * factor, y0 * factor, x1 * factor, y1 * factor)
    face = Face(box, prediction.face.score, (prediction.face.points * factor).astype("float32"))
    return replace(prediction, face=face)
