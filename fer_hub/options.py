"""What the commands share: which model and how it is asked, lines to the terminal, files written whole."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from .labels import LABEL_SPACES
from .recognizer import Recognizer
from .relabel import maps_in
from .views import VIEWS

STOPPED = 130
"""What a shell expects of a command that was stopped by Ctrl-C."""

CLOSED_PIPE = 141
"""Exit status where nobody reads any more: as if by SIGPIPE, which Windows does not have."""


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it is asked."""
    parser.add_argument(
        "--model", action="append", metavar="DIR_OR_REPO", help="default: the embedded model; several make an ensemble"
    )
    parser.add_argument("--views", default="none", choices=list(VIEWS), help="of each face, averaged; default: none")
    parser.add_argument(
        "--labels", metavar="SPACE_OR_NAMES", help=f"{', '.join(LABEL_SPACES)}, or names with commas; default: its own"
    )
    parser.add_argument("--offline", action="store_true", help="never ask the Hub")


def load(options: argparse.Namespace, **more: Any) -> Recognizer:
    """The model that the options name; says what its labels lose.

    Raises:
        ModelError: No such model, it is not to be had, or it is broken.
        ValueError: The views or a label is unknown.
    """
    recognizer = Recognizer.from_pretrained(
        options.model and tuple(options.model),
        views=options.views,
        labels=options.labels,
        local_files_only=options.offline,
        **more,
    )
    for name, found in maps_in(recognizer.classifier):
        if found.lost and not found.undefined:  # of these there was a warning
            sys.stderr.write(f"note: {name}: {found.sentence()}\n")
    return recognizer


def print_line(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def reader_left() -> int:
    """The exit status where the reader went away (`| head`); there is nothing to say, and nothing to write at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CLOSED_PIPE


def complain(text: str) -> bool:
    """Print an error; returns True: something failed."""
    sys.stderr.write(f"error: {text}\n")
    return True


def write(text: str, path: Path) -> None:
    """Write a text file under another name first, then rename.

    Raises:
        OSError: It cannot be written; nothing is left.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        temporary.replace(path)
    finally:
        if temporary.exists():
            temporary.unlink()
