"""Every layout of the same rows reads as the same rows, and what cannot be read is named."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Row, toy_rows, write_csv
from PIL import Image

from fer_hub.labels import labels_of
from train import sources
from train.sources import VOTES, DataError, Rows

ROWS = [
    row for usage in ("Training", "PublicTest", "PrivateTest") for row in [r for r in toy_rows() if r[1] == usage][:9]
]
"""Every label in every usage, some twice."""
FER2013 = labels_of("fer2013-7")
USAGE = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
GOOD = " ".join(["7"] * 2304)
Pixels = Any


def encoded(pixels: Pixels, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, kind, lossless=True)
    return buffer.getvalue()


def plain(side: int = 48, value: int = 9) -> Pixels:
    return np.full((side, side), value, np.uint8)


def write_image(path: Path, pixels: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def write_text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# ── one writer a layout ──────────────────────────────────────────────────────────────────────────────────────────────


def icml(folder: Path) -> Path:
    lines = [f"{label}, {usage}, {' '.join(map(str, pixels.reshape(-1)))}" for label, usage, pixels in ROWS]
    return write_text(folder / "icml_face_data.csv", "emotion, Usage, pixels", *lines)


def csv_folder(folder: Path) -> Path:
    write_csv(folder / "fer2013.csv", ROWS)
    return folder


def parquet_splits(folder: Path) -> Path:
    for name, usage in (("train", "Training"), ("public_test", "PublicTest"), ("private_test", "PrivateTest")):
        rows = [row for row in ROWS if row[1] == usage]
        columns = {"image": [encoded(row[2], "webp") for row in rows], "label": [row[0] for row in rows]}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def hub_parquet(folder: Path) -> Path:
    """As the Hub keeps a data set: ClassLabel names in an order of their own, synonyms among them."""
    names = ["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"]
    order = [0, 1, 2, 3, 5, 6, 4]  # FER2013's index → index in `names`
    features = datasets.Features({"image": datasets.Image(), "emotion": datasets.ClassLabel(names=names)})
    (folder / "data").mkdir()
    for name, usage in (("train", "Training"), ("validation", "PublicTest"), ("test", "PrivateTest")):
        rows = [{"image": Image.fromarray(p), "emotion": order[i]} for i, given, p in ROWS if given == usage]
        file = folder / "data" / f"{name}-00000-of-00001.parquet"
        datasets.Dataset.from_list(rows, features=features).to_parquet(file)
    return folder


def named_parquet(folder: Path) -> Path:
    for usage in USAGE:
        rows = [row for row in ROWS if row[1] == usage]
        columns = {"img": [encoded(row[2]) for row in rows], "label": [FER2013[row[0]].title() for row in rows]}
        pq.write_table(pa.table(columns), folder / f"{usage}.parquet")
    return folder


def kaggle(folder: Path) -> Path:
    for i, (label, usage, pixels) in enumerate(ROWS):
        split = "train" if usage == "Training" else "test"
        write_image(folder / split / FER2013[label] / f"{usage}_{i}.png", pixels)
    write_text(folder / "train" / "angry" / "notes.txt", "no image")
    write_text(folder / "train" / ".DS_Store", "neither")
    return folder


def digits(folder: Path) -> Path:
    for i, (label, usage, pixels) in enumerate(ROWS):
        write_image(folder / "archive" / usage / f"{label} {FER2013[label]}" / f"{i}.png", np.stack([pixels] * 3, 2))
    return folder


def capitals(folder: Path) -> Path:
    names = {"Training": "Train", "PublicTest": "VAL", "PrivateTest": "testing"}
    synonyms = ["Anger", "Disgusted", "Fearful", "Happiness", "Sadness", "Surprised", "Neutral"]
    for i, (label, usage, pixels) in enumerate(ROWS):
        write_image(folder / "images" / names[usage] / synonyms[label] / f"im{i}.bmp", pixels)
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "fer2013.csv": lambda folder: write_csv(folder / "fer2013.csv", ROWS),
    "icml_face_data.csv": icml,
    "folder with fer2013.csv": csv_folder,
    "three parquet files": parquet_splits,
    "parquet with ClassLabel": hub_parquet,
    "parquet with names": named_parquet,
    "Kaggle folders, split by file names": kaggle,
    "digits before the classes": digits,
    "other spellings": capitals,
}


def as_set(rows: Rows) -> set[tuple[str, str, bytes]]:
    names = [rows.names[label] for label in rows.labels]
    return set(zip(rows.usage.tolist(), names, [image.tobytes() for image in rows.images], strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_the_same_rows_reads_as_the_same_rows(tmp_path: Path, layout: str) -> None:
    rows = sources.read(LAYOUTS[layout](tmp_path))
    assert as_set(rows) == {(USAGE[usage], FER2013[label], pixels.tobytes()) for label, usage, pixels in ROWS}
    assert rows.images.shape == (len(ROWS), 48, 48)
    assert (rows.images.dtype, rows.labels.dtype) == (np.uint8, np.int64)
    assert len(set(rows.ids.tolist())) == len(ROWS)
    assert rows.votes is None


def test_every_entry_of_the_registry_but_the_hub_is_reached_by_a_layout_here(tmp_path: Path) -> None:
    reached = set()
    for i, write in enumerate([*LAYOUTS.values(), ferplus_folders]):
        (tmp_path / str(i)).mkdir()
        path = write(tmp_path / str(i))
        reached.add(next(name for name, layout in sources.LAYOUTS.items() if layout.fits(path)))
    assert reached == set(sources.LAYOUTS) - {"hub"}


# ── votes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def votes_of(number: int) -> list[int]:
    votes = [0] * 10
    votes[number % 10], votes[(number + 3) % 10] = 7, 3
    return votes


def write_votes(folder: Path, rows: list[Row] = ROWS) -> Path:
    lines = [f"{u},fer{i:07}.png,{','.join(map(str, votes_of(i)))}" for i, (_, u, _) in enumerate(rows)]
    return write_text(folder / "fer2013new.csv", f"Usage,Image name,{','.join(VOTES)}", *lines)


def ferplus_folders(folder: Path) -> Path:
    names = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
    lines: dict[str, list[str]] = {}
    for i, (_, usage, pixels) in enumerate(ROWS):
        write_image(folder / names[usage] / f"fer{i:07}.png", pixels)
        line = f'fer{i:07}.png,"(0, 0, 48, 48)",{",".join(map(str, votes_of(i)))}'
        lines.setdefault(names[usage], []).append(line)
    for name, rows in lines.items():
        write_text(folder / name / "label.csv", *rows)
    return folder


def parquet_votes(folder: Path) -> Path:
    parquet_splits(folder)
    start = 0
    for file in ("train", "public_test", "private_test"):
        table = pq.read_table(folder / f"{file}.parquet")
        votes = np.array([votes_of(start + i) for i in range(len(table))], np.int8)
        for i, name in enumerate(VOTES):
            table = table.append_column(f"ferplus_{name}", pa.array(votes[:, i]))
        pq.write_table(table, folder / f"{file}.parquet")
        start += len(table)
    return folder


@pytest.mark.parametrize("write", [lambda f: write_votes(csv_folder(f)).parent, parquet_votes, ferplus_folders])
def test_votes_are_read_row_by_row(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    rows = sources.read(write(tmp_path))
    wanted = {pixels.tobytes(): votes_of(i) for i, (_, _, pixels) in enumerate(ROWS)}
    assert rows.votes is not None
    for image, votes in zip(rows.images, rows.votes.tolist(), strict=True):
        assert votes == wanted[image.tobytes()]


def test_ferplus_folders_give_votes_and_no_labels(tmp_path: Path) -> None:
    rows = sources.read(ferplus_folders(tmp_path))
    assert (rows.name, rows.names, set(rows.labels.tolist())) == ("ferplus", (), {-1})
    assert rows.usage.tolist() == [USAGE[usage] for _, usage, _ in ROWS]
    assert rows.ids[0] == "FER2013Train/fer0000000.png"


def test_votes_of_other_rows_are_refused(tmp_path: Path) -> None:
    csv_folder(tmp_path)
    write_votes(tmp_path, ROWS[:-1])
    with pytest.raises(DataError, match=r"fer2013new\.csv has 26 rows, fer2013\.csv 27; they are joined row by row"):
        sources.read(tmp_path)
    write_votes(tmp_path, ROWS[::-1])
    with pytest.raises(DataError, match=r"row 0 is PrivateTest, in fer2013\.csv it is Training"):
        sources.read(tmp_path)


# ── image folders ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_class_folders_without_split_folders_are_one_set(tmp_path: Path) -> None:
    for name in ("happy", "sad"):
        write_image(tmp_path / name / "a.png", plain())
    rows = sources.read(tmp_path)
    assert rows.usage.tolist() == ["train", "train"]
    assert rows.names == ("happy", "sad")
    assert rows.ids.tolist() == ["happy/a.png", "sad/a.png"]


def test_a_folder_called_validation_stays_the_validation_usage(tmp_path: Path) -> None:
    for split, names in (("train", "ab"), ("validation", "c")):
        for name in names:
            write_image(tmp_path / "images" / split / "happy" / f"{name}.png", plain())
    assert sources.read(tmp_path).usage.tolist() == ["train", "train", "validation"]


def test_file_names_that_contradict_their_folder_say_nothing_about_the_split(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "happy" / "PrivateTest_1.png", plain())
    write_image(tmp_path / "test" / "happy" / "PublicTest_1.png", plain())
    assert sources.read(tmp_path).usage.tolist() == ["train", "test"]


def test_images_of_several_sizes_are_cut_square_and_brought_to_the_median_of_their_shorter_sides(
    tmp_path: Path,
) -> None:
    wide = np.zeros((40, 80), np.uint8)
    wide[:, 20:60] = 200  # the central square
    write_image(tmp_path / "happy" / "a.png", wide)
    write_image(tmp_path / "happy" / "b.png", plain(60, 50))
    write_image(tmp_path / "sad" / "c.png", plain(100, 70))
    rows = sources.read(tmp_path)
    assert rows.images.shape == (3, 60, 60)
    assert [(image.min(), image.max()) for image in rows.images] == [(200, 200), (50, 50), (70, 70)]


def test_large_images_become_224_with_antialiasing(tmp_path: Path) -> None:
    fine = np.indices((448, 448)).sum(0) % 2 * 255  # a chess board of single pixels: grey, where it is averaged
    write_image(tmp_path / "happy" / "a.png", fine)
    (image,) = sources.read(tmp_path).images
    assert image.shape == (224, 224)
    assert 124 <= image.min() <= image.max() <= 131  # without: 0 or 255


def test_colour_becomes_grey_by_luma(tmp_path: Path) -> None:
    write_image(tmp_path / "happy" / "a.png", np.full((10, 10, 3), (200, 100, 50)))
    assert set(sources.read(tmp_path).images.ravel().tolist()) == {round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)}


def folders_with(**files: bytes) -> Callable[[Path], Path]:
    """A writer of files by path ("/" written as "__", "." as "_dot_"); train/happy/fine.png is always there."""

    def write(folder: Path) -> Path:
        write_image(folder / "train" / "happy" / "fine.png", plain())
        for name, content in files.items():
            path = folder / name.replace("_dot_", ".").replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            folders_with(train__bored__a_dot_png=b""),
            r"train/bored: Unknown label 'bored'\. Known: angry.*Rename the folder",
        ),
        (folders_with(train__3__a_dot_png=b""), r"train/3: Unknown label '3'"),
        (
            folders_with(train__sad__notes_dot_txt=b""),
            r"train/sad holds no image \(.*\.png.*Fill the folder or remove it",
        ),
        (folders_with(train__sad__a_dot_jpg=b"GIF, no"), r"train/sad/a\.jpg: the image cannot be read"),
        (folders_with(train__sad__a_dot_png=encoded(plain())[:-30]), r"train/sad/a\.png: the image cannot be read"),
        (
            folders_with(test__a_dot_png=encoded(plain())),
            r"test holds no class folders\. Put the images in folders named",
        ),
        (folders_with(more__sad__a_dot_png=b""), r"more beside the split folders is no split"),
        (folders_with(Training__sad__a_dot_png=b""), r"two folders for train: Training, train\. Keep one"),
        (folders_with(FER2013Train__a_dot_png=b""), r"FER2013Train/label\.csv does not exist.*FER2013Valid"),
    ],
)
def test_broken_folders_are_named_with_what_to_do(tmp_path: Path, write: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(DataError, match=message):
        sources.read(write(tmp_path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fer0000099.png,box,1,1,1,1,1,1,1,1,1,1", r"row 0 names fer0000099\.png, which .*FER2013Test does not hold"),
        ("fer0000099.png,box,1,1", r"label\.csv: row 0 has 4 columns; wanted name, box and ten votes"),
        ("fer0000018.png,box,1,1,1,1,x,1,1,1,1,1", r"label\.csv: row 0 has the votes 1, 1, 1, 1, x"),
    ],
)
def test_broken_label_files_of_ferplus_are_named(tmp_path: Path, line: str, message: str) -> None:
    write_text(ferplus_folders(tmp_path) / "FER2013Test" / "label.csv", line)
    with pytest.raises(DataError, match=message):
        sources.read(tmp_path)


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


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
    good = f"0,{GOOD},Training"
    path = write_text(tmp_path / "fer2013.csv", "emotion,pixels,Usage", good, row, good)
    with pytest.raises(DataError, match=message):
        sources.read(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("emotion,pixels", r"columns emotion, pixels; wanted emotion, pixels, Usage"),
        ("label,pixels,Usage", r"columns label, pixels, Usage; wanted emotion"),
        ("", r"wanted emotion, pixels, Usage"),
    ],
)
def test_missing_csv_columns_are_named_with_those_found(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        sources.read(write_text(tmp_path / "fer2013.csv", header, f"0,{GOOD},Training"))


def test_a_csv_without_rows_or_without_text_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no row"):
        sources.read(write_text(tmp_path / "fer2013.csv", "emotion,pixels,Usage"))
    (tmp_path / "faces.csv").write_bytes(encoded(plain()))
    with pytest.raises(DataError, match=r"faces\.csv is no CSV file"):
        sources.read(tmp_path / "faces.csv")


# ── parquet ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("file", ["train.parquet", "public_test.parquet", "private_test.parquet"])
def test_a_missing_parquet_file_is_named(tmp_path: Path, file: str) -> None:
    (parquet_splits(tmp_path) / file).unlink()
    with pytest.raises(DataError, match=rf"{file} does not exist\. .* must hold train\.parquet, public_test\.parquet"):
        sources.read(tmp_path)


PNG = encoded(plain())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [PNG]}, r"train\.parquet: no column label; found image"),
        ({"face": [PNG], "answer": [1]}, r"no column image, label; found face, answer\. Images: image, img"),
        ({"image": [PNG] * 2, "label": [0, 7]}, r"train\.parquet row 1 has the label '7'; allowed are 0 \(angry\), 1"),
        ({"image": [PNG, b"no"], "label": [0, 1]}, r"Train\.parquet row 1: the image cannot be read"),
        ({"image": [PNG, None], "label": [0, 1]}, r"train\.parquet row 1: the image column holds NoneType"),
        ({"image": [PNG] * 1500, "label": [0] * 1400 + [9] * 100}, r"row 1400 has the label '9'"),
        ({"image": [PNG], "label": ["bored"]}, r"train\.parquet: Unknown label 'bored'"),
    ],
    ids=["no label", "other names", "label 7", "no image", "nothing", "past the first batch", "unknown name"],
)
def test_broken_parquet_files_are_refused_by_row(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    for name in ("train", "public_test", "private_test"):
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=message):
        sources.read(tmp_path)


def test_numbers_without_names_are_not_guessed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [PNG], "label": [0]}), tmp_path / "faces.parquet")
    with pytest.raises(
        DataError, match=r"column label holds int64 numbers and says nowhere what they mean.*ClassLabel"
    ):
        sources.read(tmp_path / "faces.parquet")


def test_a_file_that_is_no_parquet_is_refused_by_name(tmp_path: Path) -> None:
    (parquet_splits(tmp_path) / "train.parquet").write_bytes(b"PAR1, but cut short")
    with pytest.raises(DataError, match=r"train\.parquet cannot be read"):
        sources.read(tmp_path)


# ── the Hub ──────────────────────────────────────────────────────────────────────────────────────────────────────────

COMMIT = "a" * 40
READ = """
import sys
from pathlib import Path
import numpy as np
from train import sources
try:
    np.savez(sys.argv[2], **{k: v for k, v in vars(sources.read(Path(sys.argv[1]))).items() if v is not None})
except sources.DataError as error:
    sys.exit(str(error))
"""


class Hub(BaseHTTPRequestHandler):
    """The part of the Hub that `datasets` asks for: one public data set, me/faces."""

    files: dict[str, bytes]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, kind, *rest = self.path.split("?")[0].split("/")
        if kind == "api" and rest[:3] == ["datasets", "me", "faces"]:
            self.answer(200, json.dumps(self.about(rest[3:])).encode())
        elif kind == "datasets" and rest[:3] == ["me", "faces", "resolve"]:
            file = self.files.get("/".join(rest[4:]))
            self.answer(200 if file else 404, file or b"", {} if file else {"X-Error-Code": "EntryNotFound"})
        else:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def about(self, rest: list[str]) -> object:
        """The data set, or the files in one of its folders."""
        if rest[:1] != ["tree"]:
            return {"id": "me/faces", "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}
        if not rest[2:]:
            return [{"type": "directory", "path": "data", "oid": COMMIT}]
        return [{"type": "file", "path": n, "size": len(f), "oid": f"{len(f):040}"} for n, f in self.files.items()]

    def answer(self, code: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(code)
        always = {"Content-Length": str(len(body)), "ETag": f'"{hash(body)}"', "X-Repo-Commit": COMMIT}
        for name, value in (always | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """Address of a Hub on this machine that holds `hub_parquet` as me/faces."""
    (tmp_path / "repo").mkdir()
    folder = hub_parquet(tmp_path / "repo")
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.parquet")}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Hub,), {"files": files}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def read_from_hub(name: str, endpoint: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Read a data set in a process of its own, since the client takes its endpoint when it is imported."""
    places = {"HF_HOME": str(folder / "home"), "HF_DATASETS_CACHE": str(folder / "cache")}
    settings = {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run(
        [sys.executable, "-c", READ, name, str(folder / "rows.npz")],
        env=os.environ | places | settings,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_data_set_of_the_hub_is_read_by_the_names_of_its_labels(hub: str, tmp_path: Path) -> None:
    done = read_from_hub("me/faces", hub, tmp_path)
    assert done.returncode == 0, done.stderr
    rows = Rows(**{"votes": None} | {k: v for k, v in np.load(tmp_path / "rows.npz").items()})
    assert as_set(rows) == {(USAGE[usage], FER2013[label], pixels.tobytes()) for label, usage, pixels in ROWS}
    assert str(rows.name) == "me/faces"


def test_a_data_set_that_the_hub_does_not_show_is_said_in_one_sentence(hub: str, tmp_path: Path) -> None:
    done = read_from_hub("me/elsewhere", hub, tmp_path)
    assert done.returncode == 1
    assert "me/elsewhere is no file or folder here, and the Hub shows no data set of that name" in done.stderr
    assert "Traceback" not in done.stderr


# ── what holds for all ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["nowhere", "no/where/at/all", "fer2013.zip"])
def test_a_path_that_does_not_exist_is_answered_with_the_layouts(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"(?s)does not exist\. Give one of:.*fer2013\.csv.*owner/name"):
        sources.read(tmp_path / name)


def test_a_folder_of_no_known_layout_is_answered_with_the_layouts(tmp_path: Path) -> None:
    write_text(tmp_path / "readme.txt", "nothing")
    with pytest.raises(DataError, match=r"has none of the known layouts\. Give one of"):
        sources.read(tmp_path)


@pytest.mark.parametrize(
    "write",
    [
        lambda folder, value: write_csv(folder / "fer2013.csv", [(0, "Training", plain(value=value))]),
        lambda folder, value: write_image(folder / "happy" / "a.png", plain(value=value)).parent.parent,
    ],
    ids=["csv", "folder"],
)
def test_a_file_changed_in_place_is_not_served_from_the_cache(tmp_path: Path, write: Callable[..., Path]) -> None:
    values = [int(sources.read(write(tmp_path, value)).images.max()) for value in (9, 8)]
    assert values == [9, 8]


def test_class_folders_that_were_renamed_are_not_served_with_their_old_labels(tmp_path: Path) -> None:
    for folder, value in (("0_angry", 9), ("1_happy", 8)):
        write_image(tmp_path / folder / "a.png", plain(value=value))
    sources.read(tmp_path)
    for old, new in (("0_angry", "0"), ("1_happy", "1_angry"), ("0", "0_happy")):
        (tmp_path / old).rename(tmp_path / new)
    rows = sources.read(tmp_path)
    found = {rows.names[label]: int(image.max()) for label, image in zip(rows.labels, rows.images, strict=True)}
    assert found == {"happy": 9, "angry": 8}


def test_rows_come_from_the_cache_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "fer2013.csv", ROWS)
    first = sources.read(path)
    monkeypatch.setattr("train.tables._pixels", None)  # nothing can be decoded any more
    second = sources.read(path)
    assert np.array_equal(first.images, second.images)
    assert first.ids.tolist() == second.ids.tolist()
    second.images[0] = 0  # memory of its own: not the cache's file
    assert np.array_equal(sources.read(path).images, first.images)
