"""Video files in and out: what is refused, frames with their times, H.264 in MP4 that browsers play.

PyAV (FFmpeg's libraries) does the work; it is imported inside functions, since only the extra `video` brings it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .image import MAX_MEGAPIXELS
from .types import Image, VideoError

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,mxf,yuv4mpegpipe,h264,hevc,ivf"
"""Containers that are opened: no pictures, no playlists, which could name other files."""
KINDS = "MP4, MOV, WebM, MKV, AVI, MPEG or another usual video file"
TICKS = 90_000
"""Units of time in a second of the written video: whole numbers for all usual frame rates."""
USUAL_RATE = Fraction(25)
JUMP = 1.0
"""Seconds that a picture may come too early before its file's clock counts as set back."""


@dataclass(slots=True)
class Video:
    """A video that was found fit to read.

    Attributes:
        path: The file.
        width: In pixels, as it is shown: upright, square pixels, even.
        height: The same.
        turns: Quarter turns to the left that make a decoded frame upright.
        origin: The file's time of the first picture or sound, in seconds; moved where its clock is set back.
        rate: Frames per second, on average.
        seconds: Its length; None where the file does not say.
        frames: How many to expect; None where that is not known.
        notes: What went wrong on the way, a sentence each.
    """

    path: Path
    width: int
    height: int
    turns: int
    origin: float
    rate: Fraction
    seconds: float | None
    frames: int | None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFrame:
    """One picture of a video.

    Attributes:
        time: When it is shown, in seconds from the video's beginning.
        duration: For how long, in seconds.
        picture: PyAV's frame.
    """

    time: float
    duration: float
    picture: Any


def pyav() -> ModuleType:
    """PyAV.

    Raises:
        VideoError: It is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise VideoError('Videos need PyAV, which is not installed. Run: pip install "fer_hub[video]"') from error
    return av


def inspect_video(source: str | os.PathLike[str], max_seconds: float | None = None) -> Video:
    """Open a video, decode its first frame, close it.

    Raises:
        VideoError: There is no such file, it is no video, has no pictures, is damaged, too large or longer than
            `max_seconds`.
    """
    path = Path(source)
    with _opened(path) as container:
        stream = _pictures(container, path)
        first = _first_frame(container, stream, path)
        video = _described(path, container, stream, first)
    check_length(video, video.seconds or 0.0, max_seconds)
    return video


def check_length(video: Video, seconds: float, max_seconds: float | None) -> None:
    """Raise VideoError when a video lasts longer than is allowed."""
    if max_seconds is not None and seconds > max_seconds:
        raise VideoError(
            f"{video.path} lasts {video.seconds or seconds:.0f} seconds or more; at most {max_seconds:g} are allowed. "
            "Cut it shorter first."
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, opened to read; only this file, nothing that it may name."""
    av = pyav()
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    if path.is_dir():
        raise VideoError(f"{path} is a folder. Give a video file: {KINDS}.")
    try:
        container = av.open(f"file:{path}", container_options=options, metadata_errors="ignore")
    except FileNotFoundError as error:
        raise VideoError(f"{path}: there is no such file. Check the path.") from error
    except av.error.FFmpegError as error:
        reason = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else "is no video, or is damaged"
        raise VideoError(f"{path} {reason}. Give {KINDS}.") from error
    with container:
        yield container


def _pictures(container: Any, path: Path) -> Any:
    """The stream of moving pictures, checked; a cover picture of a song is none."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError(f"{path} holds no moving pictures. Give {KINDS}.")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError(f"{path} is coded in a way that is not known here. Save it as MP4 (H.264).")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_MEGAPIXELS * 1e6:
        raise VideoError(
            f"The frames of {path} are {width}×{height}; at most {MAX_MEGAPIXELS:g} megapixels are allowed. "
            "Scale it down first."
        )
    stream.codec_context.options = {"max_pixels": f"{MAX_MEGAPIXELS * 1e6:.0f}"}  # the header may have lied
    stream.thread_type = "AUTO"
    return stream


def _first_frame(container: Any, stream: Any, path: Path) -> Any:
    packets = 0
    for packet in container.demux(stream):
        packets += bool(packet.size)
        for frame in _decoded(packet, []):
            if frame.width >= 2 and frame.height >= 2:
                return frame
            raise VideoError(f"The frames of {path} are {frame.width}×{frame.height} pixels. Give a larger video.")
    if packets:
        raise VideoError(f"{path} is damaged: none of its frames can be decoded. Save it again as MP4 (H.264).")
    raise VideoError(f"{path} holds no frames (0). Record or save it again.")


def _described(path: Path, container: Any, stream: Any, first: Any) -> Video:
    turns = round(first.rotation / 90) % 4
    width = round(first.width * float(stream.sample_aspect_ratio or 1))
    width, height = (first.height, width) if turns % 2 else (width, first.height)
    rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
    seconds = _seconds(stream.duration, stream.time_base) or _seconds(container.duration, Fraction(1, 1_000_000))
    frames = stream.frames or (round(seconds * rate) if seconds else None)
    origin = _seconds(container.start_time, Fraction(1, 1_000_000))
    origin = (first.time or 0.0) if origin is None else origin
    return Video(path, width // 2 * 2, height // 2 * 2, turns, origin, rate, seconds, frames)


def _seconds(units: int | None, unit: Fraction | None) -> float | None:
    return None if units is None or unit is None else float(units * unit)


def _decoded(packet: Any, damaged: list[Any]) -> list[Any]:
    """The frames of a packet; one that is damaged gives none, and is noted."""
    try:
        return list(packet.decode())
    except pyav().error.FFmpegError:
        damaged.append(packet)
        return []


def upright(video: Video, picture: Any, longest: int | None = None) -> Image:
    """A decoded frame as it is to be shown, H×W×3 uint8 RGB; scaled down where its longer side is above `longest`."""
    shrink = max(1.0, max(video.width, video.height) / (longest or np.inf))
    width, height = max(1, round(video.width / shrink)), max(1, round(video.height / shrink))
    if video.turns % 2:
        width, height = height, width
    smoothing = "AREA" if shrink > 1 else None
    rgb = picture.reformat(width, height, "rgb24", interpolation=smoothing, src_color_range=picture.color_range)
    image = rgb.to_ndarray()
    turned: Image = np.ascontiguousarray(np.rot90(image, video.turns))
    return turned


@contextmanager
def reading(video: Video) -> Iterator[Reader]:
    """The video, open while the block runs.

    Raises:
        VideoError: It can no longer be opened.
    """
    with _opened(video.path) as container:
        yield Reader(video, container)


class Reader:
    """An open video: its frames one after the other, its sound meanwhile handed to another.

    Attributes:
        sound: PyAV's stream of sound; None where there is none.
    """

    def __init__(self, video: Video, container: Any) -> None:
        """Choose the streams of an opened container."""
        self.video = video
        self._container = container
        self._stream = _pictures(container, video.path)
        self.sound = next(iter(container.streams.audio), None)

    def frames(self, on_sound: Callable[[Any], None] | None = None) -> Iterator[DecodedFrame]:
        """Every frame that can be decoded, in the order and with the times in which it is shown.

        Args:
            on_sound: Given each packet of sound when its turn comes; None: sound is skipped.
        """
        last, end, count, step = 0.0, 0.0, 0, float(1 / self.video.rate)
        damaged: list[Any] = []
        for packet in self._packets(with_sound=on_sound is not None):
            if packet.stream is self.sound and on_sound is not None:
                on_sound(packet)
                continue
            for picture in _decoded(packet, damaged):
                time = self._time(picture, last, step if count else 0.0)
                time = max(time, last + 1 / TICKS if count else 0.0)
                duration = _seconds(picture.duration, picture.time_base) or step
                last, end, count = time, time + duration, count + 1
                yield DecodedFrame(time, duration, picture)
        self._note_damage(damaged, end)

    def _time(self, picture: Any, last: float, step: float) -> float:
        """Seconds from the beginning; where the file's clock is set back (files put together), time goes on."""
        if picture.time is None:
            return last + step
        if picture.time - self.video.origin < last - JUMP:
            self.video.origin = picture.time - last - step
        return float(picture.time - self.video.origin)

    def _packets(self, with_sound: bool) -> Iterator[Any]:
        streams = [self._stream, self.sound] if with_sound else [self._stream]
        try:
            yield from self._container.demux(streams)
        except pyav().error.FFmpegError:
            pass

    def _note_damage(self, damaged: list[Any], end: float) -> None:
        """Say what is missing: the end, or parts in between."""
        name, seconds = self.video.path.name, self.video.seconds
        if seconds and end < seconds - max(1.0, 0.02 * seconds):
            self.video.notes.append(
                f"{name} is damaged after {end:.1f} of {seconds:.1f} seconds: what comes before was kept."
            )
        elif damaged:
            self.video.notes.append(f"{name} is damaged in {len(damaged)} places, which were left out.")
