"""Data sets as image files: class folders with or without split folders, FERPlus' folders with label.csv."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from fer_hub.hub import stamp
from fer_hub.labels import DISPLAY, canonical

from .rows import DataError, Item, Source
from .tables import usage_of, vote_counts

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm"}
"""Other files are not looked at."""
FERPLUS = {"FER2013Train": "train", "FER2013Valid": "validation", "FER2013Test": "test"}
PREFIXES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
"""File names of Kaggle's fer2013 begin with the challenge's split: PrivateTest_10131363.jpg."""


# ── class folders ────────────────────────────────────────────────────────────────────────────────────────────────────


def root_of(path: Path) -> Path:
    """The folder of the splits or classes: `path`, or the only folder in it, as archives unpack."""
    inner = _folders(path)
    while len(inner) == 1 and not usage_of(inner[0].name) and not _is_label(inner[0].name) and _folders(inner[0]):
        path, inner = inner[0], _folders(inner[0])
    return path


def read_folders(path: Path) -> Source:
    """Images in class folders; in split folders where there are any, else all rows are "train".

    Where every file name begins with Training_, PublicTest_ or PrivateTest_, as in Kaggle's fer2013, and none
    contradicts its folder, the challenge's three splits are recovered from them.
    """
    root = root_of(path)
    files = [(usage, label, file) for usage, folder in _splits(root) for label, file in _classes(folder)]
    labels = {label for _, label, _ in files}
    names = tuple(label for label in DISPLAY["en"] if label in labels)
    official = _official(files)
    rows = [
        Item(file, names.index(label), official[i] if official else usage, file.relative_to(root).as_posix())
        for i, (usage, label, file) in enumerate(files)
    ]
    stamps = [stamp(file) for *_, file in files]
    key = (str(root.resolve()), [(row.id, row.label, row.usage, *its) for row, its in zip(rows, stamps, strict=True)])
    return Source(path.name, names, key, lambda: rows)


def _folders(path: Path) -> list[Path]:
    return sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith((".", "__")))


def _is_label(name: str) -> bool:
    try:
        return bool(canonical(name))
    except ValueError:
        return False


def _splits(root: Path) -> list[tuple[str, Path]]:
    """Split folders with their usage, in the order train, validation, test; the root itself where there are none."""
    folders = _folders(root)
    usages = {folder: usage_of(folder.name) for folder in folders}
    if not any(usages.values()):
        return [("train", root)]
    strange = [folder.name for folder, usage in usages.items() if usage is None]
    if strange:
        raise DataError(f"{root}: {', '.join(strange)} beside the split folders is no split. Move it elsewhere.")
    twice = [u for u in PREFIXES.values() if list(usages.values()).count(u) > 1]
    if twice:
        raise DataError(f"{root}: two folders for {twice[0]}: {', '.join(f.name for f in folders)}. Keep one of them.")
    return [(usage, folder) for usage in PREFIXES.values() for folder in folders if usages[folder] == usage]


def _classes(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every image of a folder of class folders, with its canonical label."""
    inner = _folders(folder)
    if not inner:
        raise DataError(f"{folder} holds no class folders. Put the images in folders named {', '.join(DISPLAY['en'])}.")
    for inside in inner:
        try:
            label = canonical(inside.name)
        except ValueError as error:
            raise DataError(f"{inside}: {error} Rename the folder, or move it elsewhere.") from error
        files = [Path(at, name) for at, _, names in os.walk(inside) for name in names]
        images = sorted(f for f in files if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
        if not images:
            raise DataError(f"{inside} holds no image ({', '.join(sorted(SUFFIXES))}). Fill the folder or remove it.")
        yield from ((label, image) for image in images)


def _official(files: list[tuple[str, str, Path]]) -> list[str]:
    """The challenge's usage of each file by its name; empty where one says nothing or contradicts its folder."""
    usages = [PREFIXES.get(file.name.split("_")[0], "") for _, _, file in files]
    folders = {folder for folder, _, _ in files}
    agrees = {"train": {"train"}, "test": {"validation", "test"}, "validation": {"validation"}}
    if len(folders) == 1:  # no split folders: nothing to contradict
        agrees = {next(iter(folders)): set(PREFIXES.values())}
    fine = all(usage in agrees[folder] for usage, (folder, _, _) in zip(usages, files, strict=True))
    return usages if fine else []


# ── FERPlus ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_ferplus(path: Path) -> Source:
    """FER2013Train, FER2013Valid and FER2013Test with their label.csv: votes, but no labels."""
    tables = [path / folder / "label.csv" for folder in FERPLUS]
    for table in tables:
        if not table.is_file():
            raise DataError(f"{table} does not exist. {path} must hold {', '.join(FERPLUS)}, each with its label.csv.")
    rows = [row for table in tables for row in _ferplus_rows(table)]
    key = (str(path.resolve()), [(row.id, row.votes, stamp(path / row.id)) for row in rows])
    return Source("ferplus", (), key, lambda: rows)


def _ferplus_rows(table: Path) -> Iterator[Item]:
    folder = table.parent
    with open(table, newline="", encoding="utf-8") as file:
        for number, cells in enumerate(csv.reader(file, skipinitialspace=True)):
            if len(cells) != 12:
                raise DataError(f"{table}: row {number} has {len(cells)} columns; wanted name, box and ten votes.")
            image = folder / cells[0].strip()
            if not image.is_file():
                raise DataError(f"{table}: row {number} names {image.name}, which {folder} does not hold.")
            votes = vote_counts(cells[2:], f"{table}: row {number}")
            yield Item(image, -1, FERPLUS[folder.name], f"{folder.name}/{image.name}", votes)
