"""A video as it is written: H.264 and AAC in MP4, complete or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from .types import Image, VideoError
from .video_reader import TICKS, Reader, Video, pyav

PICTURE = {"crf": "20", "preset": "veryfast", "bf": "0"}
"""No frames out of order: every time of the original is kept as it is, in every player."""
BT709 = 1
AS_IT_IS = {"aac": 1, "mp3": 32_000}
"""Sound that MP4 and browsers take, by its least sampling rate; other sound is coded anew."""
SOUND_RATES = (44_100, 48_000)


@contextmanager
def writing(path: Path, video: Video, reader: Reader) -> Iterator[Writer]:
    """A video that takes its name when the block ends well; otherwise nothing is left of it.

    Raises:
        VideoError: The file cannot be written.
    """
    _check(path, video)
    temporary = path.with_name(f".{path.stem}.tmp.mp4")
    try:
        with _named(path):
            container = pyav().open(f"file:{temporary}", "w", format="mp4", options={"movflags": "+faststart"})
        try:
            writer = Writer(container, path, video, reader.sound)
            yield writer
            writer.finish()
        finally:
            with _named(path):
                container.close()
        with _named(path):
            temporary.replace(path)
    finally:
        if temporary.exists():
            temporary.unlink()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of writing, with the name of the file; the work between two writes has errors of its own."""
    try:
        yield
    except (OSError, pyav().error.FFmpegError) as error:
        raise VideoError(f"{path} cannot be written ({error.strerror or error}). Give another file.") from error


def _check(path: Path, video: Video) -> None:
    if path.suffix.lower() != ".mp4":
        raise VideoError(f"{path}: give a file that ends in .mp4.")
    if path.exists() and path.samefile(video.path):
        raise VideoError(f"{path} is the video itself. Give another file to write.")


class Writer:
    """A video being written: pictures in order, sound between them."""

    def __init__(self, container: Any, path: Path, video: Video, sound: Any) -> None:
        """Add the streams to an opened container, which will be the file `path`."""
        self.video = video
        self._container, self._path = container, path
        self._pictures = container.add_stream("libx264", rate=video.rate, options=PICTURE)
        context = self._pictures.codec_context
        context.width, context.height, context.pix_fmt = video.width, video.height, "yuv420p"
        context.time_base = Fraction(1, TICKS)
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = BT709
        self._ticks = 0
        self.on_sound = None if sound is None else self._sound(sound)

    def picture(self, image: Image, time: float, duration: float) -> None:
        """Add a frame.

        Args:
            image: H×W×3 uint8 RGB, of the video's size.
            time: When it is shown, in seconds; later than the one before.
            duration: For how long, in seconds; counts for the last frame.

        Raises:
            VideoError: The file cannot be written.
        """
        frame = pyav().VideoFrame.from_ndarray(image).reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
        self._ticks = round(duration * TICKS)
        with _named(self._path):
            self._write(self._pictures.encode(frame))

    def finish(self) -> None:
        """Write what the encoders still hold.

        Raises:
            VideoError: The file cannot be written.
        """
        with _named(self._path):
            self._write(self._pictures.encode(None))
        if self.on_sound is not None:
            self.on_sound(None)

    def _write(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = packet.duration or self._ticks
            self._container.mux(packet)

    def _sound(self, stream: Any) -> Callable[[Any], None] | None:
        """What to do with each packet of sound; None, and a note, where it cannot be kept."""
        context = stream.codec_context
        if context is None:
            self.video.notes.append(f"The sound of {self.video.path.name} is of an unknown kind, and was left out.")
            return None
        if context.sample_rate >= AS_IT_IS.get(context.codec.canonical_name, float("inf")):
            return self._copier(stream)
        return self._encoder(stream)

    def _copier(self, stream: Any) -> Callable[[Any], None]:
        out = self._container.add_stream_from_template(stream)
        last: list[int] = []

        def copy(packet: Any) -> None:
            if packet is None or packet.dts is None or packet.is_corrupt:
                return
            shift = round(self.video.origin / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if last and packet.dts <= last[0]:
                return  # a file with a jump back: the muxer takes only what goes on
            last[:] = [packet.dts]
            packet.stream = out
            with _named(self._path):
                self._container.mux(packet)

        return copy

    def _encoder(self, stream: Any) -> Callable[[Any], None]:
        context = stream.codec_context
        rate = context.sample_rate if context.sample_rate in SOUND_RATES else SOUND_RATES[-1]
        out = self._container.add_stream("aac", rate=rate, layout="mono" if context.channels == 1 else "stereo")

        last: list[float] = []

        def encode(packet: Any) -> None:
            for frame in [None] if packet is None else _samples(packet):
                if frame is not None:
                    if frame.pts is None or (last and frame.time <= last[0]):
                        continue
                    last[:] = [frame.time]
                    frame.pts -= round(self.video.origin / frame.time_base)
                with _named(self._path):
                    self._container.mux(out.encode(frame))

        return encode


def _samples(packet: Any) -> list[Any]:
    try:
        return list(packet.decode())
    except pyav().error.FFmpegError:
        return []  # a damaged bit of sound leaves a gap
