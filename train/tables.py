"""Data sets in tables: FER2013 as CSV, FERPlus' votes beside it, parquet files, the Hub."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub.errors import RepositoryNotFoundError
from numpy.typing import NDArray

from fer_hub.hub import stamp
from fer_hub.labels import canonical, canonical_all, labels_of

from .rows import USAGES, VOTES, DataError, Item, Source

SIDE = 48
"""Side of FER2013's images."""
PIXELS = SIDE * SIDE
FER2013 = labels_of("fer2013-7")
IN_CSV = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
CSVS = ("fer2013.csv", "icml_face_data.csv")
PARQUET = {"train": "train.parquet", "validation": "public_test.parquet", "test": "private_test.parquet"}
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval", "publictest"), "validation"),
    **dict.fromkeys(("test", "testing", "privatetest"), "test"),
}
"""How folders, files and Hub splits are called, without case, "_", "-" and spaces."""
IMAGE_COLUMNS = ("image", "img", "picture", "pixels")
LABEL_COLUMNS = ("label", "labels", "emotion", "expression", "class")


def usage_of(name: str) -> str | None:
    """Which usage a split's name means; None where it is no split's name."""
    return SPLITS.get(re.sub(r"[\s_-]", "", name).casefold())


# ── fer2013.csv, icml_face_data.csv, fer2013new.csv ──────────────────────────────────────────────────────────────────


def read_csv(path: Path) -> Source:
    """fer2013.csv or icml_face_data.csv, with the votes of a fer2013new.csv beside it."""
    votes = path.with_name("fer2013new.csv")
    key = [stamp(file) for file in (path, votes) if file.is_file()]
    return Source(path.stem, FER2013, ("csv", str(path.resolve()), key), lambda: _csv_rows(path, votes))


def _csv_rows(path: Path, votes: Path) -> Iterator[Item]:
    cast = _votes(votes, path) if votes.is_file() else []
    number = -1
    for number, row in enumerate(_dicts(path, ("emotion", "pixels", "Usage"))):
        usage = _usage(row["Usage"], number)
        if cast and number < len(cast) and cast[number][0] != usage:
            raise DataError(f"{votes}: row {number} is {cast[number][0]}, in {path.name} it is {usage}. Wrong pair?")
        given = cast[number][1] if number < len(cast) else ()
        label = _index(row["emotion"], f"Row {number}", len(FER2013))
        yield Item(_pixels(row["pixels"], number), label, IN_CSV[usage], f"row {number}", given)
    if cast and number + 1 != len(cast):
        raise DataError(f"{votes} has {len(cast)} rows, {path.name} {number + 1}; they are joined row by row.")


def _dicts(path: Path, wanted: Sequence[str]) -> Iterator[dict[str, str]]:
    """Rows of a CSV by column name, names and cells without the spaces around them."""
    csv.field_size_limit(1_000_000)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            found = [name.strip() for name in next(lines, [])]
            if not set(wanted) <= set(found):
                raise DataError(f"{path}: columns {', '.join(found)}; wanted {', '.join(wanted)}.")
            for cells in lines:
                if cells:
                    yield {name: "" for name in wanted} | dict(zip(found, (c.strip() for c in cells), strict=False))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV file ({error}).") from error


def _usage(given: str, row: int) -> str:
    if given not in IN_CSV:
        raise DataError(f"Row {row} has the usage {given!r}; allowed are {', '.join(IN_CSV)}.")
    return given


def _pixels(text: str, row: int) -> NDArray[np.uint8]:
    try:
        values = np.array(text.split(), dtype=np.int64)
    except ValueError as error:
        raise DataError(f"Row {row}: pixels hold something that is no whole number ({error}).") from error
    if len(values) != PIXELS:
        raise DataError(f"Row {row} has {len(values)} pixels; {PIXELS} (48×48) are needed.")
    if values.min() < 0 or values.max() > 255:
        raise DataError(f"Row {row} has a pixel of {values.max() if values.max() > 255 else values.min()}; 0 to 255.")
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def _index(value: object, where: str, count: int) -> int:
    text = str(value).strip()
    if not text.isdecimal() or int(text) >= count:
        raise DataError(f"{where} has the label {text!r}; allowed are 0 to 6 ({', '.join(FER2013)}).")
    return int(text)


def _votes(path: Path, beside: Path) -> list[tuple[str, list[int]]]:
    return [
        (_usage(row["Usage"], number), vote_counts([row[name] for name in VOTES], f"{path}: row {number}"))
        for number, row in enumerate(_dicts(path, ("Usage", *VOTES)))
    ]


def vote_counts(cells: Sequence[object], where: str) -> list[int]:
    """The ten votes of one FERPlus row.

    Raises:
        DataError: They are not ten whole numbers.
    """
    texts = [str(cell).strip() for cell in cells]
    if len(texts) != len(VOTES) or not all(text.isdecimal() for text in texts):
        raise DataError(f"{where} has the votes {', '.join(texts)}; wanted ten whole numbers ({', '.join(VOTES)}).")
    return [int(text) for text in texts]


# ── parquet files and the Hub ────────────────────────────────────────────────────────────────────────────────────────


class Part(NamedTuple):
    """One split's file, or one split of a Hub data set."""

    usage: str
    name: str
    schema: pa.Schema
    batches: Callable[[], Iterable[pa.RecordBatch | pa.Table]]


def read_parquet_splits(folder: Path) -> Source:
    """FER2013 as train.parquet, public_test.parquet and private_test.parquet; numbers are the challenge's labels."""
    files = {usage: folder / file for usage, file in PARQUET.items()}
    for file in files.values():
        if not file.is_file():
            raise DataError(f"{file} does not exist. {folder} must hold {', '.join(PARQUET.values())}.")
    parts = [_parquet(usage, file) for usage, file in files.items()]
    return _table(folder.name, parts, _stamps(files.values()), FER2013)


def read_parquet(path: Path) -> Source:
    """A parquet file, or a folder of them, named by their splits as the Hub does (train-00000-of-00001.parquet)."""
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    usages = usages_of([re.split(r"[-.\d]", file.stem)[0] for file in files], str(path))
    parts = [_parquet(usage, file) for usage, file in zip(usages, files, strict=True)]
    return _table(path.stem, sorted(parts, key=lambda part: USAGES.index(part.usage)), _stamps(files))


def usages_of(names: Sequence[str], where: str) -> list[str]:
    """The usages of a source's splits; a source with none of the usual names is one set ("train").

    Raises:
        DataError: Some names are splits and others are not.
    """
    usages = [usage_of(name) for name in names]
    strange = [name for name, usage in zip(names, usages, strict=True) if usage is None]
    if strange and len(strange) < len(names):
        raise DataError(f"{where}: {', '.join(strange)} beside the splits is none. Known: {', '.join(SPLITS)}.")
    return [usage or "train" for usage in usages]


def _stamps(files: Iterable[Path]) -> object:
    return [(str(file.resolve()), stamp(file)) for file in files]


def _parquet(usage: str, file: Path) -> Part:
    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from pq.ParquetFile(file).iter_batches(1000)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file} cannot be read ({error}). Give the parquet file as it came.") from error

    try:
        return Part(usage, file.name, pq.read_schema(file), batches)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read ({error}). Give the parquet file as it came.") from error


def is_hub_id(path: Path) -> bool:
    """Whether something that is no file or folder here can be a data set on the Hub (owner/name)."""
    return not path.exists() and bool(re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", path.as_posix()))


def read_hub(path: Path) -> Source:
    """A data set of the Hub, by its id; what its labels mean is read from its features."""
    name = path.as_posix()
    try:
        loaded = datasets.load_dataset(name)
    except (datasets.exceptions.DatasetNotFoundError, RepositoryNotFoundError) as error:
        raise DataError(
            f"{name} is no file or folder here, and the Hub shows no data set of that name. "
            "Check the spelling; a private one needs hf auth login."
        ) from error
    except Exception as error:  # whatever the network, the Hub or a reader may raise: to the user it is one thing
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name} is no file or folder here, and cannot be had from the Hub ({why}).") from error
    usages = usages_of([str(split) for split in loaded], name)
    parts = [_hub(usage, split, loaded[split]) for usage, split in zip(usages, loaded, strict=True)]
    key = [(str(split), part._fingerprint) for split, part in loaded.items()]
    return _table(name, sorted(parts, key=lambda part: USAGES.index(part.usage)), key)


def _hub(usage: str, split: str, rows: datasets.Dataset) -> Part:
    for column, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(column, datasets.Image(decode=False))
    return Part(usage, str(split), rows.features.arrow_schema, lambda: rows.with_format("arrow").iter(1000))


def _table(name: str, parts: list[Part], key: object, numbers: tuple[str, ...] = ()) -> Source:
    """A source of tables with an image and a label column; `numbers`: what bare numbers in the latter mean."""
    columns = [_columns(part) for part in parts]
    codes = {part.name: _codes(part, label, numbers) for part, (_, label) in zip(parts, columns, strict=True)}
    names = tuple(dict.fromkeys(label for given in codes.values() for label in given.values()))

    def items() -> Iterator[Item]:
        for part, (image, label) in zip(parts, columns, strict=True):
            yield from _part_items(part, image, label, codes[part.name], names)

    return Source(name, names, key, items)


def _columns(part: Part) -> tuple[str, str]:
    """Names of the image and the label column."""
    found = part.schema.names
    image, label = (next((n for n in known if n in found), None) for known in (IMAGE_COLUMNS, LABEL_COLUMNS))
    if image is None or label is None:
        missing = [known[0] for given, known in ((image, IMAGE_COLUMNS), (label, LABEL_COLUMNS)) if given is None]
        raise DataError(
            f"{part.name}: no column {', '.join(missing)}; found {', '.join(found)}. "
            f"Images: {', '.join(IMAGE_COLUMNS)}; labels: {', '.join(LABEL_COLUMNS)}."
        )
    return image, label


def _codes(part: Part, label: str, numbers: tuple[str, ...]) -> dict[Any, str]:
    """What each value of the label column means, as a canonical label.

    Raises:
        DataError: Numbers without names, or a name that is no known label.
    """
    schema = pa.schema([part.schema.field(label)], metadata=part.schema.metadata)
    feature = datasets.Features.from_arrow_schema(schema)[label]
    try:
        if isinstance(feature, datasets.ClassLabel):
            return dict(enumerate(canonical_all(feature.names)))
        if feature.dtype in ("string", "large_string"):
            given = {value for batch in part.batches() for value in batch.column(label).to_pylist()}
            return {value: canonical(str(value)) for value in sorted(given, key=str)}
    except ValueError as error:
        raise error if isinstance(error, DataError) else DataError(f"{part.name}: {error}") from error
    if not numbers:
        raise DataError(
            f"{part.name}: the column {label} holds {feature.dtype} numbers and says nowhere what they mean. "
            "Give a data set whose labels are a ClassLabel or names."
        )
    return dict(enumerate(numbers))


def _part_items(part: Part, image: str, label: str, codes: Mapping[Any, str], names: tuple[str, ...]) -> Iterator[Item]:
    votes = [name for vote in VOTES if (name := f"ferplus_{vote}") in part.schema.names]
    number = 0
    for batch in part.batches():
        wanted = [image, label, *votes, *(["row"] if "row" in part.schema.names else [])]
        for row in batch.select(wanted).to_pylist():
            where = f"row {row['row']}" if "row" in row else f"{part.name} row {number}"
            given = vote_counts([row[name] for name in votes], f"{part.name} row {number}") if votes else ()
            if row[label] not in codes:
                allowed = ", ".join(f"{value} ({name})" for value, name in codes.items())
                raise DataError(f"{part.name} row {number} has the label {str(row[label])!r}; allowed are {allowed}.")
            pixels = _image(row[image], f"{part.name} row {number}")
            yield Item(pixels, names.index(codes[row[label]]), part.usage, where, given)
            number += 1


def _image(value: object, where: str) -> bytes | Path:
    """The encoded image of a cell: bytes, or a struct of bytes and path as `datasets` stores it."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or (Path(value["path"]) if value.get("path") else None)
    if not isinstance(value, bytes | Path):
        raise DataError(f"{where}: the image column holds {type(value).__name__}; wanted the bytes of an image file.")
    return value
