"""`fer-hub predict`, `explain`, `video`, `bench` and `models`: the core alone, no torch."""

from __future__ import annotations

import argparse
import glob
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from . import __version__
from .bench_command import add_bench
from .classifier import RUNTIMES
from .download import list_models
from .explain import EXPLAINERS, explain
from .faces import FaceDetector
from .hub import VARIANTS, zoo_models
from .image import SUFFIXES, read, save
from .listing import describe, title_of
from .options import STOPPED, add_model, complain, load, print_line, reader_left
from .recognizer import Recognizer
from .types import ImageError, ModelError, Prediction
from .video_command import add_video


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status.

    0 when all went well, 1 when an image failed, 2 when nothing could start, 130 at Ctrl-C, 141 when the reader left.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return command(options)
    except (ModelError, ImageError, ValueError) as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return STOPPED
    except BrokenPipeError:
        return reader_left()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fer-hub", description="Facial-expression recognition.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="name the expression of every face in images")
    predict.add_argument("paths", nargs="+", metavar="PATH", help="image files, folders, globs")
    add_model(predict)
    predict.add_argument("--variant", default="fp32", choices=[*VARIANTS, "auto"], help="ONNX file; default: fp32")
    predict.add_argument("--json", action="store_true", help="one JSON object a line")
    predict.add_argument("--min-face-size", type=int, default=40, metavar="PIXELS", help="default: 40")
    predict.add_argument("--whole-image", action="store_true", help="take each image as one face, no detection")
    predict.set_defaults(command=_predict)
    why = commands.add_parser("explain", help="draw what speaks for and against a label in every face of an image")
    why.add_argument("path", metavar="IMAGE")
    why.add_argument("--method", default="grad-cam", choices=list(EXPLAINERS), help="default: grad-cam")
    why.add_argument("--target", metavar="LABEL", help="default: the most probable label of each face")
    why.add_argument("--out", type=Path, metavar="FILE", help="default: IMAGE's name with the method, here")
    add_model(why)
    why.add_argument("--runtime", default="onnx", choices=RUNTIMES, help="default: onnx")
    why.add_argument("--samples", type=int, default=1000, metavar="N", help="of lime; default: 1000")
    why.add_argument("--seed", type=int, default=0, metavar="N", help="of lime; default: 0")
    why.add_argument("--whole-image", action="store_true", help="take the image as one face, no detection")
    why.set_defaults(command=_explain)
    add_video(commands)
    add_bench(commands)
    models = commands.add_parser("models", help="list the embedded models, or those of a namespace on the Hub")
    models.add_argument("namespace", nargs="?", help="user or organisation on the Hub")
    models.add_argument("--json", action="store_true", help="one JSON object a line")
    models.set_defaults(command=_models)
    return parser


def _predict(options: argparse.Namespace) -> int:
    detector = FaceDetector(min_face_size=options.min_face_size)
    recognizer = load(options, variant=options.variant, detector=detector)
    failed = False
    for given in options.paths:
        try:
            paths = _files(given)
        except ImageError as error:
            failed = complain(str(error))
            continue
        for path in paths:
            try:
                row = _row(recognizer, path, options.whole_image)
            except ImageError as error:
                failed = complain(str(error))
                continue
            print_line(json.dumps(row) if options.json else _lines(row))
    return int(failed)


def _explain(options: argparse.Namespace) -> int:
    """Write one picture: a row of face and overlay for each face."""
    recognizer = load(options, runtime=options.runtime)
    image = read(options.path)
    faces = recognizer.faces(image, options.whole_image)
    if not faces:
        raise ImageError(f"{options.path}: no face was found. Add --whole-image if the image is a face.")
    found = [
        explain(
            recognizer.classifier,
            recognizer.crop(image, face),
            options.method,
            options.target,
            samples=options.samples,
            seed=options.seed,
        )
        for face in faces
    ]
    out = options.out or Path(f"{Path(options.path).stem}-{options.method}.png")
    save(np.concatenate([each.panel() for each in found]), out)
    for number, each in enumerate(found, 1):
        print_line(f"face {number}: {each.label} {each.probability:.0%}, by {each.method}")
    print_line(f"{out}: each face, and what speaks for (orange) and against it (blue)")
    return 0


def _row(recognizer: Recognizer, path: Path, whole_image: bool) -> dict[str, Any]:
    image = read(path)
    started = time.perf_counter()
    predictions: list[Prediction] = recognizer(image, whole_image=whole_image)
    milliseconds = (time.perf_counter() - started) * 1000
    return {
        "path": str(path),
        "width": image.shape[1],
        "height": image.shape[0],
        "ms": round(milliseconds, 2),
        "faces": [prediction.to_dict() for prediction in predictions],
    }


def _lines(row: dict[str, Any]) -> str:
    """Text for people: a line for the file, one for each face."""
    head = f"{row['path']}: {len(row['faces'])} face{'' if len(row['faces']) == 1 else 's'} ({row['ms']:.0f} ms)"
    return "\n".join([head, *(_face_line(face) for face in row["faces"])])


def _face_line(face: dict[str, Any]) -> str:
    where = " ".join(f"{value:.0f}" for value in face["box"]) if face["box"] else "whole image"
    ranked = sorted(face["scores"].items(), key=lambda item: -item[1])[1:3]
    others = ", ".join(f"{label} {score:.0%}" for label, score in ranked)
    return f"  {face['label']} {face['confidence']:.0%}  ({others})  box {where}"


def _files(given: str) -> list[Path]:
    """A file as given, the images of a folder, the matches of a glob.

    Raises:
        ImageError: The folder holds no image, or the pattern matches nothing.
    """
    path = Path(given)
    if os.path.isdir(path):
        found = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        problem = f"{given} holds no image ({', '.join(sorted(SUFFIXES))}). Give another folder, or files."
    elif os.path.exists(path) or not glob.has_magic(given):
        return [path]
    else:
        found = [Path(match) for match in sorted(glob.glob(given, recursive=True))]
        problem = f"{given} matches no file. Check the pattern."
    if not found:
        raise ImageError(problem)
    return found


def _models(options: argparse.Namespace) -> int:
    failed = False
    for name in list_models(options.namespace) if options.namespace else zoo_models():
        try:
            row = describe(name)
        except ModelError as error:
            failed = complain(str(error))
            continue
        print_line(json.dumps(row, ensure_ascii=False) if options.json else _model_line(row))
    return int(failed)


def _model_line(row: dict[str, Any]) -> str:
    on = f" ({title_of(row['dataset'])})" if row["dataset"] else ""
    accuracy = f"{row['accuracy']:.2%} of {row['n']}{on}" if row["accuracy"] is not None else "not measured"
    f1 = f", macro-F1 {row['macro_f1']:.3f}" if row["macro_f1"] is not None else ""
    worst = f", worst class {row['worst']['label']} (recall {row['worst']['recall']:.1%})" if row["worst"] else ""
    size = "×".join(map(str, row["input"]))
    files = ", ".join(f"{kind} {megabytes} MB" for kind, megabytes in row["onnx_mb"].items())
    views = "" if row["views"] == "none" else f", views {row['views']}"
    members = f" of {', '.join(row['members'])}{views}" if row["members"] else ""
    return f"{row['name']}: {row['architecture']}{members}, {size}, {files}, test accuracy {accuracy}{f1}{worst}"


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as one line, not with the code that gave it."""
    sys.stderr.write(f"warning: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
