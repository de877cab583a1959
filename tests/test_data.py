"""train.data reads FER2013 exactly, and says which row or file it cannot read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import toy_rows, write_csv
from PIL import Image

from train import data
from train.data import DataError

OFFICIAL = {
    "train": [3995, 436, 4097, 7215, 4830, 3171, 4965],
    "validation": [467, 56, 496, 895, 653, 415, 607],
    "test": [491, 55, 528, 879, 594, 416, 626],
}
GOOD = " ".join(["7"] * 2304)


@pytest.fixture(scope="module")
def real(fer2013_dir: Path) -> data.Data:
    return data.load("official", fer2013_dir)


def png(side: int = 48, value: int = 9) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (value,) * 3).save(buffer, "png")
    return buffer.getvalue()


def write_parquets(folder: Path, rows: int = 3, value: int = 9, **columns: Any) -> Path:
    folder.mkdir(exist_ok=True)
    table = pa.table(columns or {"image": [png(value=value)] * rows, "label": [i % 7 for i in range(rows)]})
    for name in data.PARQUET.values():
        pq.write_table(table, folder / name)
    return folder


def write_lines(path: Path, *lines: str, header: str = "emotion,pixels,Usage") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("split", OFFICIAL)
def test_the_official_split_has_the_published_counts_per_class(real: data.Data, split: str) -> None:
    rows: data.Split = getattr(real, split)
    assert rows.counts(7).tolist() == OFFICIAL[split]
    assert rows.images.shape == (sum(OFFICIAL[split]), 48, 48)
    assert rows.images.dtype == np.uint8
    assert rows.labels.dtype == np.int64


@pytest.mark.slow
def test_a_csv_of_real_rows_reads_back_pixel_for_pixel(real: data.Data, tmp_path: Path) -> None:
    splits = {"train": real.train, "validation": real.validation, "test": real.test}
    rng = np.random.default_rng(3)
    picked = {name: rng.choice(len(split), 20, replace=False) for name, split in splits.items()}
    rows = [
        (int(splits[name].labels[i]), data.USAGES[name], splits[name].images[i])
        for name in splits
        for i in picked[name]
    ]
    rng.shuffle(rows)  # type: ignore[arg-type]  # usages mixed, as nothing says that they come in blocks
    read = data.load("as-given", write_csv(tmp_path / "fer2013.csv", rows))
    for name, usage in data.USAGES.items():
        wanted = [(label, pixels) for label, given, pixels in rows if given == usage]
        split: data.Split = getattr(read, name)
        assert split.labels.tolist() == [label for label, _ in wanted]
        assert np.array_equal(split.images, np.stack([pixels for _, pixels in wanted]))


def test_the_official_protocol_refuses_a_part_of_the_data(toy_csv: Path) -> None:
    with pytest.raises(DataError, match=r"Training has 200 rows, the official split has 28709"):
        data.load("official", toy_csv)


@pytest.mark.parametrize(
    "header",
    ["emotion,pixels,Usage", "emotion, Usage, pixels", " emotion , pixels , Usage "],
    ids=["fer2013.csv", "icml_face_data.csv", "spaces on both sides"],
)
def test_column_names_are_read_with_and_without_spaces(tmp_path: Path, header: str) -> None:
    rows = toy_rows()[::16]
    order = [name.strip() for name in header.split(",")]
    cells = [
        {"emotion": str(label), "Usage": usage, "pixels": " ".join(map(str, pixels.reshape(-1)))}
        for label, usage, pixels in rows
    ]
    lines = [",".join(cell[name] for name in order) for cell in cells]
    read = data.load("as-given", write_lines(tmp_path / "icml_face_data.csv", *lines, header=header))
    images = np.concatenate([read.train.images, read.validation.images, read.test.images])
    labels = np.concatenate([read.train.labels, read.validation.labels, read.test.labels])
    assert labels.tolist() == [label for label, _, _ in rows]
    assert np.array_equal(images, np.stack([pixels for _, _, pixels in rows]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"0,{GOOD[:-2]},Training", r"Row 1 has 2303 pixels; 2304 \(48×48\) are needed"),
        (f"0,{GOOD} 7,Training", r"Row 1 has 2305 pixels"),
        ("0,,Training", r"Row 1 has 0 pixels"),
        (f"0,{GOOD[:-1]}300,Training", r"Row 1 has a pixel of 300; 0 to 255"),
        (f"0,{GOOD[:-1]}-1,Training", r"Row 1 has a pixel of -1; 0 to 255"),
        (f"0,{GOOD[:-1]}ab,Training", r"Row 1: pixels hold something that is no whole number \(.*'ab'"),
        (f"0,{GOOD[:-1]}1.5,Training", r"Row 1: pixels hold something that is no whole number \(.*'1.5'"),
        (f"7,{GOOD},Training", r"Row 1 has the label '7'; allowed are 0 to 6 \(angry, disgust"),
        (f"x,{GOOD},Training", r"Row 1 has the label 'x'; allowed are 0 to 6"),
        (f"-1,{GOOD},Training", r"Row 1 has the label '-1'; allowed are 0 to 6"),
        (f",{GOOD},Training", r"Row 1 has the label ''; allowed are 0 to 6"),
        (f"0,{GOOD},Trainning", r"Row 1 has the usage 'Trainning'; allowed are Training, PublicTest, PrivateTest"),
        (f"0,{GOOD}", r"Row 1 has the usage ''; allowed are"),
    ],
)
def test_a_broken_row_is_named_with_what_is_allowed(tmp_path: Path, row: str, message: str) -> None:
    path = write_lines(tmp_path / "fer2013.csv", f"0,{GOOD},Training", row, f"0,{GOOD},PublicTest")
    with pytest.raises(DataError, match=message):
        data.load("as-given", path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("emotion,pixels", r"columns emotion, pixels; wanted emotion, pixels, Usage"),
        ("label,pixels,Usage", r"columns label, pixels, Usage; wanted emotion"),
        ("", r"wanted emotion, pixels, Usage"),
    ],
)
def test_missing_csv_columns_are_named(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.load("as-given", write_lines(tmp_path / "fer2013.csv", f"0,{GOOD},Training", header=header))


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(png())
    with pytest.raises(DataError, match=r"fer2013\.csv"):
        data.load("as-given", path)


@pytest.mark.parametrize("missing", data.USAGES.values())
def test_a_split_without_rows_is_refused(tmp_path: Path, missing: str) -> None:
    rows = [row for row in toy_rows()[::16] if row[1] != missing]
    with pytest.raises(DataError, match=f"no row has the usage '{missing}'. Allowed: Training, PublicTest"):
        data.load("as-given", write_csv(tmp_path / "fer2013.csv", rows))


@pytest.mark.parametrize("file", data.PARQUET.values())
def test_a_missing_parquet_file_is_named(tmp_path: Path, file: str) -> None:
    folder = write_parquets(tmp_path / "fer2013")
    (folder / file).unlink()
    with pytest.raises(DataError, match=rf"{file} does not exist\. .* must hold train\.parquet, public_test\.parquet"):
        data.load("as-given", folder)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [png()]}, r"train\.parquet: no column label; found image"),
        ({"picture": [png()], "emotion": [1]}, r"no column image, label; found picture, emotion"),
        ({"image": [png()] * 2, "label": [0, 7]}, r"Row 1 has the label '7'; allowed are 0 to 6"),
        ({"image": [png(), png(50)], "label": [0, 1]}, r"Row 1: the image is 50×50; FER2013's are 48×48"),
        ({"image": [png(), b"no picture"], "label": [0, 1]}, r"Row 1: the image cannot be read"),
        ({"image": [png()] * 1500, "label": [0] * 1400 + [9] * 100}, r"Row 1400 has the label '9'"),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, r"fer2013 cannot be read"),
    ],
    ids=["no label", "other names", "label 7", "50×50", "no image", "past the first batch", "empty"],
)
def test_broken_parquet_files_are_refused_by_row(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.load("as-given", write_parquets(tmp_path / "fer2013", **columns))


def test_a_file_that_is_no_parquet_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_parquets(tmp_path / "fer2013")
    (folder / "train.parquet").write_bytes(b"PAR1, but cut short")
    with pytest.raises(DataError, match=r"fer2013 cannot be read"):
        data.load("as-given", folder)


def test_a_csv_changed_in_place_is_not_served_from_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    before = data.load("as-given", write_csv(path, toy_rows(seed=1)))
    after = data.load("as-given", write_csv(path, toy_rows(seed=2)))
    assert not np.array_equal(before.train.images, after.train.images)
    assert np.array_equal(after.train.images[0], toy_rows(seed=2)[0][2])


def test_a_parquet_file_changed_in_place_is_not_served_from_the_cache(tmp_path: Path) -> None:
    folder = tmp_path / "fer2013"
    first = data.load("as-given", write_parquets(folder, value=9)).train.images
    second = data.load("as-given", write_parquets(folder, value=10)).train.images
    assert (first.max(), second.max()) == (9, 10)


def test_without_a_source_the_environment_variable_names_it(toy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER2013_DIR", str(toy_csv))
    assert len(data.load("as-given").train) == 200
    monkeypatch.delenv("FER2013_DIR")
    with pytest.raises(DataError, match=r"Give --data PATH .* or set FER2013_DIR"):
        data.load("as-given")


def test_an_unknown_protocol_lists_the_known_ones(toy_csv: Path) -> None:
    with pytest.raises(ValueError, match=r"Unknown protocol 'offical'\. Known: official, as-given"):
        data.load("offical", toy_csv)


def test_limit_keeps_the_first_rows_of_each_split(toy_csv: Path) -> None:
    whole, part = data.load("as-given", toy_csv), data.load("as-given", toy_csv, limit=5)
    assert [len(s) for s in (part.train, part.validation, part.test)] == [5, 5, 5]
    assert np.array_equal(part.test.images, whole.test.images[:5])
