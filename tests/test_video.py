from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import films
import numpy as np
import psutil
import pytest
from PIL import Image as PILImage

from fer_hub import Recognizer
from fer_hub.cli import main
from fer_hub.timeline import Timeline
from fer_hub.timeline_bins import means
from fer_hub.types import VideoError
from fer_hub.video import Progress, annotate

FPS, SECONDS = 10, 4.0
TIMES = films.even_times(SECONDS, FPS)
SMALL = (320, 240)


@dataclass(frozen=True)
class Decoded:
    """What a player would see and hear of a file."""

    pictures: list[np.ndarray]
    times: list[float]
    seconds: float
    rotation: int
    sound: list[str]
    sound_seconds: float
    sound_bytes: bytes
    loudest: float


def decoded(path: Path) -> Decoded:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        video, sounds = container.streams.video[0], container.streams.audio
        seconds = float(video.duration * video.time_base) if video.duration else container.duration / 1e6
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(container.streams.audio) if p.size] if sounds else []
    with av.open(str(path)) as container:
        wave = [f.to_ndarray()[0] for f in container.decode(audio=0)] if sounds else []
        rate = sounds[0].codec_context.sample_rate if sounds else 1
    samples = np.concatenate(wave) if wave else np.zeros(1)
    loudest = float(np.abs(np.fft.rfft(samples)).argmax()) * rate / len(samples)
    return Decoded(
        [frame.to_ndarray(format="rgb24") for frame in frames],
        [frame.time for frame in frames],
        seconds,
        frames[0].rotation,
        [stream.codec_context.codec.canonical_name for stream in sounds],
        len(samples) / rate,
        b"".join(packets),
        loudest,
    )


def run(source: Path, recognizer: Recognizer, out: Path | None = None, **options: object) -> Progress:
    """Annotate to the end; the last report."""
    return list(annotate(source, recognizer, out, **options))[-1]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.from_pretrained()


@pytest.fixture(scope="module")
def people() -> list[films.Person]:
    faces = films.faces(5)
    return [
        films.Person((faces[0], faces[3]), (40, 120), (20, 15)),
        films.Person((faces[4], faces[1]), (370, 120), (15, -25)),
    ]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, people: list[films.Person]) -> Path:
    """Two people with sound."""
    return films.mp4(tmp_path_factory.mktemp("films") / "clip.mp4", films.pictures(people, TIMES), TIMES, audio="aac")


@pytest.fixture(scope="module")
def annotated(clip: Path, recognizer: Recognizer) -> tuple[Path, Timeline, list[Progress]]:
    """The clip's annotated video, its timeline and the reports."""
    out, timeline = clip.with_name("annotated.mp4"), Timeline(recognizer.labels)
    return out, timeline, list(annotate(clip, recognizer, out, timeline))


def plain(path: Path, times: list[float], size: tuple[int, int] = SMALL, **options: object) -> Path:
    """A video without people."""
    return films.mp4(path, films.pictures([], times, size), times, **options)  # type: ignore[arg-type]


def first_frame(container: object, stream: object, path: Path) -> object:
    """A frame of a file that was whole when it was looked at."""
    with av.open(str(path)) as video:
        return next(video.decode(video=0))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two pictures' values."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_the_annotated_video_has_the_frames_the_times_and_the_sound_of_the_original(
    clip: Path, annotated: tuple[Path, Timeline, list[Progress]]
) -> None:
    before, after = decoded(clip), decoded(annotated[0])
    assert len(after.pictures) == len(TIMES)
    assert after.times == pytest.approx(before.times, abs=1e-4)
    assert after.seconds == pytest.approx(before.seconds, abs=1 / FPS)
    assert after.sound == ["aac"]
    assert after.sound_bytes == before.sound_bytes
    assert sorted(path.name for path in clip.parent.iterdir()) == ["annotated.mp4", "clip.mp4"]


def test_it_is_of_the_kind_that_browsers_play(annotated: tuple[Path, Timeline, list[Progress]]) -> None:
    with av.open(str(annotated[0])) as video:
        context = video.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    data = annotated[0].read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # it plays before it is loaded


def test_faces_are_drawn_where_they_are_and_the_rest_is_left_as_it_was(
    clip: Path, annotated: tuple[Path, Timeline, list[Progress]], people: list[films.Person]
) -> None:
    before, after = decoded(clip), decoded(annotated[0])
    for index in range(0, len(TIMES), 7):
        one, other = before.pictures[index], after.pictures[index]
        far = np.ones(one.shape[:2], bool)
        for truth in films.scene(TIMES[index], people)[1]:
            x0, y0, x1, y1 = (int(value) for value in truth.box)
            assert distance(one[y0:y1, x0:x1], other[y0:y1, x0:x1]) > 2
            far[max(0, y0 - 60) : y1 + 60, max(0, x0 - 60) : x1 + 60] = False
        assert np.median(np.abs(one[far].astype(int) - other[far])) <= 3


def test_the_timeline_holds_the_people_and_their_expressions(
    annotated: tuple[Path, Timeline, list[Progress]], people: list[films.Person]
) -> None:
    timeline = annotated[1]
    assert sorted(timeline.people()) == [1, 2]
    assert timeline.seconds == pytest.approx(TIMES[-1])
    right = total = 0
    truths = {tuple(label for label, _ in person.faces) for person in people}
    found = set()
    for number in timeline.people():
        rows = timeline.rows(number)
        times, scores = rows["time"], means(rows)
        names = [timeline.labels[i] for i in scores.argmax(axis=1)]
        sequence = tuple(dict.fromkeys(names[i] for i, at in enumerate(times) if at % 2 > 1))
        found.add(sequence)
        person = next(p for p in people if p.faces[0][0] == sequence[0])
        for at, name in zip(times.tolist(), names, strict=True):
            if at % 2 > 0.7:  # the smoothing has let go of the face before
                right, total = right + (name == films.scene(at, [person])[1][0].label), total + 1
    if len(truths) > 1:  # without FER2013 there is only one face
        assert found == truths
    assert right >= 0.9 * total > 20


def test_reports_lead_to_the_end(annotated: tuple[Path, Timeline, list[Progress]]) -> None:
    reports = annotated[2]
    assert [report.done for report in reports] == [False] * (len(reports) - 1) + [True]
    assert [report.frames for report in reports] == sorted(report.frames for report in reports)
    last = reports[-1]
    assert (last.frames, last.expected, last.faces, last.notes) == (len(TIMES), len(TIMES), 2, ())
    assert last.seconds == pytest.approx(last.duration, abs=1e-3) == SECONDS
    assert last.preview is not None and last.preview.shape == (480, 640, 3)
    assert reports[0].preview is not None
    assert len(reports) <= last.elapsed / 0.1 + 2
    assert sum(report.preview is not None for report in reports) <= last.elapsed + 2


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_video_of_a_turned_phone_is_turned_upright(tmp_path: Path, recognizer: Recognizer, turn: int) -> None:
    times = films.even_times(0.4, 10)
    source = plain(tmp_path / "phone.mp4", times, rotate=turn)
    assert decoded(source).rotation % 360 == turn % 360
    run(source, recognizer, tmp_path / "out.mp4")
    after = decoded(tmp_path / "out.mp4")
    assert after.rotation == 0
    for at, picture in zip(times, after.pictures, strict=True):
        assert distance(picture, films.scene(at, [], SMALL)[0]) < 4


def test_times_that_are_not_even_are_kept(tmp_path: Path, recognizer: Recognizer) -> None:
    times = [0.0, 0.04, 0.3, 0.31, 0.9, 1.0, 1.7, 1.75]
    source = plain(tmp_path / "phone.mp4", times)
    timeline = Timeline(recognizer.labels)
    run(source, recognizer, tmp_path / "out.mp4", timeline=timeline)
    before, after = decoded(source), decoded(tmp_path / "out.mp4")
    assert after.times == pytest.approx(times, abs=1e-3)
    assert after.seconds == pytest.approx(before.seconds, abs=0.05)
    assert timeline.last == pytest.approx(1.75, abs=1e-3)


@pytest.mark.parametrize("times", [[0.0, 2.0, 4.0, 6.0, 8.0], [0.0, 0.1, 0.2, 60.0], [0.0, 0.1, 0.2, 0.3, 3.0]])
def test_pictures_that_stay_for_long_keep_their_times_and_are_no_damage(
    tmp_path: Path, recognizer: Recognizer, times: list[float]
) -> None:
    """Time lapses, and screen recordings, which have a picture only where something moves."""
    source = plain(tmp_path / "lapse.mp4", times)
    timeline = Timeline(recognizer.labels)
    last = run(source, recognizer, tmp_path / "out.mp4", timeline=timeline)
    assert last.notes == ()
    assert decoded(tmp_path / "out.mp4").times == pytest.approx(times, abs=1e-3)
    assert timeline.last == pytest.approx(times[-1], abs=1e-3)


KINDS: dict[str, dict[str, object]] = {
    "odd.mkv": {"pixels": "yuv444p", "size": (321, 241)},
    "full-range.mkv": {"pixels": "yuvj420p"},
    "deep.mkv": {"pixels": "yuv420p10le"},
    "video.webm": {"codec": "libvpx", "audio": "libopus"},
    "video.avi": {"codec": "mpeg4", "audio": "libmp3lame"},
    "video.ts": {"audio": "aac"},
    "video.mov": {"codec": "mpeg4", "audio": "pcm_s16le"},
    "silent.mkv": {},
}


@pytest.mark.parametrize("name", KINDS)
def test_usual_kinds_of_videos_come_out_alike(tmp_path: Path, recognizer: Recognizer, name: str) -> None:
    times = films.even_times(1.2, 10)
    source = plain(tmp_path / name, times, **KINDS[name])
    last = run(source, recognizer, tmp_path / "out.mp4")
    after = decoded(tmp_path / "out.mp4")
    assert last.notes == ()
    assert [picture.shape for picture in after.pictures] == [(240, 320, 3)] * len(times)
    assert after.times == pytest.approx(times, abs=0.03)
    assert after.seconds == pytest.approx(1.2, abs=0.1)
    assert distance(after.pictures[6], films.scene(times[6], [], SMALL)[0]) < 5
    if "audio" in KINDS[name]:
        assert after.sound == ["mp3" if name == "video.avi" else "aac"]
        assert after.sound_seconds == pytest.approx(1.2, abs=0.1)
        assert after.loudest == pytest.approx(440, abs=3)
    else:
        assert after.sound == []


def test_in_a_wide_video_faces_are_found_where_they_are(
    tmp_path: Path, recognizer: Recognizer, people: list[films.Person]
) -> None:
    person = films.Person(people[0].faces[:1], (1700, 700), side=500)
    source = films.mp4(tmp_path / "wide.mp4", films.pictures([person], [0, 0.1, 0.2], (2560, 1440)), [0, 0.1, 0.2])
    run(source, recognizer, tmp_path / "out.mp4")
    picture = decoded(tmp_path / "out.mp4").pictures[-1]
    drawn = np.abs(picture.astype(int) - films.scene(0.2, [person], (2560, 1440))[0]).max(axis=2) > 60
    rows, columns = np.nonzero(drawn)
    assert picture.shape == (1440, 2560, 3)
    assert 1640 < columns.min() < 1900 < 2000 < columns.max() < 2260
    assert 550 < rows.min() < 900 < 1000 < rows.max() < 1300


def text(path: Path) -> Path:
    path.write_text("not a video\n" * 100)
    return path


def picture_file(path: Path) -> Path:
    PILImage.fromarray(films.scene(0, [])[0]).save(path, format="JPEG")
    return path


def playlist(path: Path) -> Path:
    """A file that names another one, which is there and could be read."""
    plain(path.with_name("other.ts"), [0, 0.1, 0.2])
    path.write_text("#EXTM3U\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    return path


def no_frames(path: Path) -> Path:
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=10, width=64, height=64)
        stream.pix_fmt = "yuv420p"
        video.start_encoding()
    return path


def song(path: Path) -> Path:
    with av.open(str(path), "w") as video:
        sound = video.add_stream("aac", rate=48_000, layout="mono")
        for start in range(0, 9600, 960):
            video.mux(sound.encode(films._tone(start)))
        video.mux(sound.encode(None))
    return path


def without_its_end(path: Path) -> Path:
    """An MP4 whose index, at its end, is lost."""
    plain(path, films.even_times(1, 10))
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def noise(path: Path) -> Path:
    """All frames overwritten, the index whole."""
    data = bytearray(plain(path, films.even_times(1, 10)).read_bytes())
    start = data.index(b"mdat") + 8
    data[start : data.index(b"moov") - 8] = np.random.default_rng(0).bytes(data.index(b"moov") - 8 - start)
    path.write_bytes(bytes(data))
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "there is no such file"),
    "empty": (lambda path: path.write_bytes(b""), "is no video, or is damaged"),
    "text": (text, "is no video, or is damaged"),
    "picture": (picture_file, "is no video, or is damaged"),
    "playlist": (playlist, "is no video, or is damaged"),
    "folder": (folder, "is a folder"),
    "no frames": (no_frames, r"holds no (frames \(0\)|moving pictures)"),
    "only sound": (song, "holds no moving pictures"),
    "cut": (without_its_end, "is no video, or is damaged"),
    "noise": (noise, "is damaged: none of its frames"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_video_is_refused_in_words_and_leaves_nothing(
    tmp_path: Path, recognizer: Recognizer, name: str
) -> None:
    make, message = REFUSED[name]
    source = tmp_path / "given.mp4"
    make(source)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(VideoError, match=message) as caught:
        run(source, recognizer, tmp_path / "out.mp4")
    assert str(source) in str(caught.value)
    assert "Errno" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("out.avi", r"ends in \.mp4"),
        ("gone/out.mp4", "cannot be written"),
        ("clip.txt/out.mp4", "cannot be written"),
        ("clip.mp4", "is the video itself"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, recognizer: Recognizer, out: str, message: str
) -> None:
    source = plain(tmp_path / "clip.mp4", [0, 0.1, 0.2])
    data = source.read_bytes()
    (tmp_path / "clip.txt").write_text("a file, no folder")
    with pytest.raises(VideoError, match=message):
        run(source, recognizer, tmp_path / out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "clip.txt"]
    assert source.read_bytes() == data


def test_long_videos_are_refused_even_if_they_do_not_say_how_long_they_are(
    tmp_path: Path, recognizer: Recognizer
) -> None:
    told = plain(tmp_path / "told.mp4", films.even_times(3, 10))
    silent = plain(tmp_path / "silent.h264", films.even_times(3, 25))
    for source in (told, silent):
        with pytest.raises(VideoError, match="at most 2 are allowed"):
            run(source, recognizer, tmp_path / "out.mp4", max_seconds=2)
    assert run(told, recognizer, max_seconds=3).frames == 30
    assert not (tmp_path / "out.mp4").exists()


def test_frames_that_are_too_large_are_refused_before_they_are_decoded(
    tmp_path: Path, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_hub.video_reader.MAX_MEGAPIXELS", 0.05)
    with pytest.raises(VideoError, match=r"320×240; at most 0\.05 megapixels"):
        run(plain(tmp_path / "clip.mp4", [0, 0.1, 0.2]), recognizer)


def test_of_a_video_that_breaks_off_the_beginning_is_kept_and_the_loss_is_told(
    tmp_path: Path, recognizer: Recognizer, annotated: tuple[Path, Timeline, list[Progress]]
) -> None:
    data = annotated[0].read_bytes()  # its index is at the beginning
    source = tmp_path / "half.mp4"
    source.write_bytes(data[: len(data) * 6 // 10])
    last = run(source, recognizer, tmp_path / "out.mp4")
    (note,) = last.notes
    assert "is damaged after" in note and "what comes before was kept" in note
    after = decoded(tmp_path / "out.mp4")
    assert len(TIMES) / 3 < len(after.pictures) == last.frames < len(TIMES)


def test_a_video_that_is_damaged_within_is_kept_with_a_note(
    tmp_path: Path, recognizer: Recognizer, annotated: tuple[Path, Timeline, list[Progress]]
) -> None:
    data = bytearray(annotated[0].read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = np.random.default_rng(0).bytes(20_000)
    (tmp_path / "scratched.mp4").write_bytes(bytes(data))
    last = run(tmp_path / "scratched.mp4", recognizer, tmp_path / "out.mp4")
    assert last.done and "damaged" in "".join(last.notes)
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert [frame.time for frame in video.decode(video=0)][-1] > SECONDS - 0.5


def test_where_the_clock_of_a_file_is_set_back_time_goes_on(tmp_path: Path, recognizer: Recognizer) -> None:
    """Recordings put together by appending one file to another; the second starts from 0 again."""
    part = plain(tmp_path / "part.ts", films.even_times(3, 10), audio="aac").read_bytes()
    (tmp_path / "both.ts").write_bytes(part + part)
    timeline = Timeline(recognizer.labels)
    reports = list(annotate(tmp_path / "both.ts", recognizer, tmp_path / "out.mp4", timeline))
    after = decoded(tmp_path / "out.mp4")
    assert reports[-1].frames == len(after.times) == 60
    assert np.diff(after.times) == pytest.approx(0.1, abs=0.01)
    assert timeline.seconds == pytest.approx(5.9, abs=0.05)
    assert after.sound_seconds == pytest.approx(6, abs=0.5)
    with pytest.raises(VideoError, match="at most 4 are allowed"):
        run(tmp_path / "both.ts", recognizer, max_seconds=4)


def test_a_file_whose_frames_are_gone_when_it_is_read_again_is_named(
    tmp_path: Path, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = plain(tmp_path / "clip.mp4", [0, 0.1, 0.2])
    monkeypatch.setattr("fer_hub.video_reader._decoded", lambda packet, damaged: [])
    monkeypatch.setattr("fer_hub.video_reader._first_frame", first_frame)
    with pytest.raises(VideoError, match=r"clip\.mp4 changed while it was read"):
        run(source, recognizer, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == [source]


def test_an_error_of_the_work_between_is_not_called_one_of_writing(
    tmp_path: Path, clip: Path, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Timeline, time: float, rows: object) -> None:
        raise PermissionError("the network is gone")

    monkeypatch.setattr(Timeline, "add", fail)
    with pytest.raises(PermissionError, match="the network is gone"):
        run(clip, recognizer, tmp_path / "out.mp4", timeline=Timeline(recognizer.labels))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a limit on the size of files")
def test_a_disk_that_is_full_is_told_and_leaves_nothing(tmp_path: Path, clip: Path) -> None:
    import resource

    command = [sys.executable, "-m", "fer_hub.cli", "video", str(clip), "--out", str(tmp_path / "out.mp4")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        check=False,
        timeout=60,
    )
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert done.stderr.startswith(f"error: {tmp_path / 'out.mp4'} cannot be written") and done.stderr.count("\n") == 1


def test_closing_it_leaves_nothing(tmp_path: Path, clip: Path, recognizer: Recognizer) -> None:
    with closing(annotate(clip, recognizer, tmp_path / "out.mp4")) as reports:
        next(reports)
        assert [path.suffix for path in tmp_path.iterdir()] == [".mp4"]  # there was something to leave
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_an_error_on_the_way_leaves_nothing(
    tmp_path: Path, clip: Path, recognizer: Recognizer, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Timeline, time: float, rows: object) -> None:
        if time > 0.5:
            raise error

    monkeypatch.setattr(Timeline, "add", fail)
    old = tmp_path / "out.mp4"
    old.write_text("what was there before")
    with pytest.raises(error):
        run(clip, recognizer, old, timeline=Timeline(recognizer.labels))
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_text() == "what was there before"


def test_without_pyav_it_says_what_to_install(
    clip: Path, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VideoError, match=r'pip install "fer_hub\[video\]"'):
        run(clip, recognizer)


def test_memory_does_not_grow_with_the_length(tmp_path: Path, recognizer: Recognizer) -> None:
    """The video's 300 frames would take 69 MB; 120 for the coders and detector to settle."""
    times = films.even_times(30, 10)
    source, process, early = plain(tmp_path / "long.mp4", times), psutil.Process(), None
    for report in annotate(source, recognizer, tmp_path / "out.mp4", Timeline(recognizer.labels), every=20):
        if early is None and report.frames >= 120:
            early = process.memory_info().rss
    assert early is not None and report.frames == 300
    assert process.memory_info().rss - early < 20e6


def test_the_command_writes_video_tables_and_charts(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {key: tmp_path / f"result.{key}" for key in ("mp4", "csv", "json", "svg")}
    arguments = ["--out", names["mp4"], "--csv", names["csv"], "--json", names["json"], "--chart", names["svg"]]
    assert main(["video", str(clip), *map(str, arguments), "--language", "tr"]) == 0
    captured = capsys.readouterr()
    assert f"{len(TIMES)} frames, 4.0 s, 2 faces" in captured.out
    assert captured.err == ""
    assert len(decoded(names["mp4"]).pictures) == len(TIMES)
    head, *rows = names["csv"].read_text().splitlines()
    assert head.startswith("time_s,frames,person,label,confidence,angry") and len(rows) >= 70
    told = json.loads(names["json"].read_text())
    assert [person["person"] for person in told["people"]] == [1, 2]
    for number in (1, 2):
        assert ET.parse(tmp_path / f"result-{number}.svg").getroot().tag.endswith("svg")
    assert len(list(tmp_path.iterdir())) == 5


def test_the_command_says_that_a_timeline_was_too_full_to_be_whole(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_hub.video_command.Timeline", partial(Timeline, capacity=2))
    assert main(["video", str(clip), "--out", str(tmp_path / "out.mp4")]) == 0
    assert main(["video", str(clip), "--csv", str(tmp_path / "table.csv")]) == 1
    assert "error: There was too much in the clip to keep" in capsys.readouterr().err


def test_the_command_annotates_when_no_output_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain(Path("empty room.mp4"), [0, 0.1, 0.2])
    assert main(["video", "empty room.mp4"]) == 0
    assert "3 frames, 0.3 s, 0 faces" in capsys.readouterr().out
    assert len(decoded(Path("empty room-annotated.mp4")).pictures) == 3
    assert main(["video", "empty room.mp4", "--csv", "table.csv"]) == 0
    names = ["empty room-annotated.mp4", "empty room.mp4", "table.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["gone.mp4"], 2, "no such file"),
        (["clip.mp4", "--csv", "gone/table.csv"], 2, "its folder is missing"),
        (["clip.mp4", "--out", "video.gif"], 2, "ends in .mp4"),
        (["clip.mp4", "--every", "0"], 2, "every"),
        (["clip.mp4", "--half-life", "-1"], 2, "half"),
        (["clip.mp4", "--csv", "table.txt", "--json", "./table.txt"], 2, "table.txt is named for two results"),
        (["clip.mp4", "--model", "no-such"], 2, "There is no model 'no-such'"),
        (["half.mp4", "--out", "out.mp4"], 1, "what comes before was kept"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path,
    annotated: tuple[Path, Timeline, list[Progress]],
    arguments: list[str],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    plain(Path("clip.mp4"), [0, 0.1, 0.2])
    data = annotated[0].read_bytes()
    Path("half.mp4").write_bytes(data[: len(data) // 2])
    assert main(["video", *arguments]) == status
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "half.mp4"} | (
        {"out.mp4"} if status == 1 else set()
    )


def test_ctrl_c_stops_the_command_and_leaves_nothing(tmp_path: Path) -> None:
    source = plain(tmp_path / "long.mp4", films.even_times(30, 20))
    command = [sys.executable, "-m", "fer_hub.cli", "video", str(source), "--out", str(tmp_path / "out.mp4")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    ) as started:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.iterdir())) == 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        _, error = started.communicate(timeout=30)
    assert started.returncode == 130
    assert error == "stopped: no half-written file was left\n"
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.skipif(shutil.which("script") is None, reason="needs script(1) to play a terminal")
def test_on_a_terminal_progress_is_shown(tmp_path: Path) -> None:
    source = plain(tmp_path / "clip.mp4", films.even_times(1, 10))
    command = f"stty cols 100 rows 24; '{sys.executable}' -m fer_hub.cli video '{source}' --csv '{tmp_path}/table.csv'"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert "10/10" in done.stdout and "frames/s" in done.stdout


def test_a_camera_video_can_be_read_and_every_visitor_has_a_place_of_his_own(
    tmp_path: Path, recognizer: Recognizer
) -> None:
    films.y4m(tmp_path / "cam.y4m", films.pictures(films.visitor(0), films.even_times(0.5, 10)), fps=10)
    read = decoded(tmp_path / "cam.y4m")
    assert len(read.pictures) == 5
    assert distance(read.pictures[3], films.scene(0.3, films.visitor(0))[0]) < 4
    last = run(tmp_path / "cam.y4m", recognizer)
    assert (last.frames, last.faces) == (5, 1)
    assert len({films.visitor(number)[0].place for number in range(8)}) == 8
