"""`fer-hub video`: a video in; an annotated video, and what each face showed when, out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from .charts import timeline_chart
from .labels import DISPLAY, LEAST
from .languages import say
from .options import STOPPED, add_model, complain, load, print_line, write
from .smoothing import HALF_LIFE
from .timeline import Timeline
from .tracking import EVERY
from .types import VideoError
from .video import Progress, annotate


def add_video(commands: Any) -> None:
    """The command and its options, among the others."""
    video = commands.add_parser("video", help="name the expression of every face in a video, over time")
    video.add_argument("path", metavar="FILE")
    video.add_argument(
        "--out",
        type=Path,
        metavar="FILE.mp4",
        help="annotated video; default: FILE's name, if no other output is named",
    )
    video.add_argument("--csv", type=Path, metavar="FILE", help="scores of each face over time")
    video.add_argument("--json", type=Path, metavar="FILE", help="the same, and a summary of each face")
    video.add_argument("--chart", type=Path, metavar="FILE.svg", help="drawing of a face; of several: FILE-1.svg, …")
    add_model(video)
    default = "default: %(default)s"
    video.add_argument("--every", type=int, default=EVERY, metavar="FRAMES", help=f"between two detections; {default}")
    video.add_argument("--half-life", type=float, default=HALF_LIFE, metavar="SECONDS", help=f"of smoothing; {default}")
    video.add_argument("--least", type=float, default=LEAST, metavar="SHARE", help=f"less is uncertain; {default}")
    video.add_argument("--language", default="en", choices=list(DISPLAY), help="of what is drawn; default: en")
    video.set_defaults(command=_video)


def _video(options: argparse.Namespace) -> int:
    """Annotate; 0 when all went well, 1 when a part is missing, 130 when stopped."""
    tables = [path for path in (options.csv, options.json, options.chart) if path]
    if options.out is None and not tables:
        options.out = Path(f"{Path(options.path).stem}-annotated.mp4")
    for path in tables:
        _check(path)
    _check_apart([*tables, *([options.out] if options.out else [])])
    recognizer = load(options)
    timeline = Timeline(recognizer.labels)
    frames = annotate(
        options.path,
        recognizer,
        options.out,
        timeline,
        every=options.every,
        half_life=options.half_life,
        least=options.least,
        language=options.language,
    )
    try:
        with closing(frames):
            last = _watched(frames)
        written = [options.out] if options.out else []
        written += _tables(timeline, options)
    except KeyboardInterrupt:
        sys.stderr.write("stopped: no half-written file was left\n")
        return STOPPED
    print_line(_summary(options.path, last, timeline))
    for path in written:
        print_line(f"{path}: written")
    notes = [*last.notes, say("video.dropped")] if tables and timeline.dropped else last.notes
    return int(any([complain(note) for note in notes]))


def _check(path: Path) -> None:
    """Say before the work that its result could not be written."""
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise VideoError(f"{path} cannot be written: its folder is missing, or it is a folder. Give another file.")


def _check_apart(paths: Sequence[Path]) -> None:
    """Say before the work that one result would overwrite another."""
    places = [path.resolve() for path in paths]
    twice = next((path for at, path in enumerate(paths) if places[at] in places[:at]), None)
    if twice:
        raise VideoError(f"{twice} is named for two results. Give each a file of its own.")


def _watched(frames: Iterator[Progress]) -> Progress:
    """Show progress on a terminal until the work is done; returns the last report."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    with tqdm(unit=" frames", file=sys.stderr, disable=None, dynamic_ncols=True) as bar:
        for report in frames:
            bar.total = report.expected
            bar.set_postfix_str(f"{report.faces} face{'s' * (report.faces != 1)}", refresh=False)
            bar.update(report.frames - bar.n)
    return report


def _tables(timeline: Timeline, options: argparse.Namespace) -> list[Path]:
    """Write what was asked for; the paths."""
    texts: dict[Path, Callable[[], str]] = {}
    if options.csv:
        texts[options.csv] = timeline.csv
    if options.json:
        texts[options.json] = lambda: json.dumps(timeline.to_dict(), ensure_ascii=False)
    if options.chart:
        texts |= _charts(timeline, options)
    for path, text in texts.items():
        try:
            write(text(), path)
        except OSError as error:
            raise VideoError(f"{path} cannot be written ({error.strerror}). Give another file.") from error
    return list(texts)


def _charts(timeline: Timeline, options: argparse.Namespace) -> dict[Path, Callable[[], str]]:
    """A drawing for each person, under the given name where there is one alone."""
    people, given = timeline.people() or [1], options.chart
    names = [given] if len(people) == 1 else [given.with_stem(f"{given.stem}-{person}") for person in people]
    return {
        name: partial(timeline_chart, timeline, person, None, options.language, options.least)
        for name, person in zip(names, people, strict=True)
    }


def _summary(path: str, last: Progress, timeline: Timeline) -> str:
    """Text for people: a line for the video, one for each face."""
    people = [timeline.summary(person) for person in timeline.people()]
    faces = f"{len(people)} face{'s' * (len(people) != 1)}"
    head = f"{path}: {last.frames} frames, {last.seconds:.1f} s, {faces} ({last.frames / last.elapsed:.0f} frames/s)"
    return "\n".join([head, *(_person_line(person) for person in people)])


def _person_line(person: dict[str, Any]) -> str:
    ranked = sorted(person["shares"].items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"{label} {share:.0%}" for label, share in ranked if share >= 0.01)
    return f"  {person['person']}: {shares} of {person['seconds']:.1f} s, from {person['first_s']:.1f} s on"
