from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Row, toy_picture, toy_rows, write_csv

from train import audit as module
from train import data, label_errors, sources
from train.__main__ import main
from train.audit import AuditConfig, audit, examine, warn
from train.data import Data, DataError, Split
from train.run_folder import RunError

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def spoilt_rows() -> list[Row]:
    """The toy rows with what an audit must find: copies across splits, a conflict, a black image."""
    rows = toy_rows()
    first = rows[0]
    extra = [
        (first[0], "PrivateTest", first[2]),
        (first[0], "PublicTest", first[2]),
        ((first[0] + 1) % 7, "Training", first[2]),
        (3, "PrivateTest", (first[2] * 0.9).astype(np.uint8)),
        (2, "Training", np.zeros((48, 48), np.uint8)),
    ]
    return [*rows, *extra]


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("spoilt") / "fer2013.csv", spoilt_rows())


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_an_audit_finds_what_was_put_in_and_writes_it(spoilt: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    assert main(["audit", "--data", str(spoilt), "--out", str(out), "--protocol", "as-given"]) == 0
    found = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert (found["unique"], sum(found["rows"].values())) == (322, 325)
    assert {k: v for k, v in found["identical"].items() if v} == {
        "train→validation": 1, "train→test": 1, "validation→test": 1, "within train": 1
    }  # fmt: skip
    assert found["similar"]["train→test"] == 1 and found["similar"]["pairs"] == 4
    assert found["conflicts"] == {"inside one split": 1, "over all": 1}
    assert (found["black"], found["one_colour"]) == (1, 1)
    assert found["protocol"]["identical"] == found["identical"]
    assert sorted(p.name for p in out.iterdir()) == [
        "audit.json", "audit.md", "blank.csv", "classes.png", "conflicts.csv", "copies.png", "duplicates.csv"
    ]  # fmt: skip
    assert {(row["row"], row["group"]) for row in table(out / "duplicates.csv")} == {
        (str(row), "0") for row in (0, 320, 321, 322, 323)
    }
    assert {row["label"] for row in table(out / "conflicts.csv")} == {"angry", "disgust"}
    (blank,) = table(out / "blank.csv")
    assert (blank["usage"], blank["label"], blank["grey_level"]) == ("train", "fear", "0")
    assert "| train→test: rows of the latter with a copy in the former | 1 | 1 |" in (out / "audit.md").read_text()


def test_pictures_of_the_data_are_drawn_only_when_asked_for(spoilt: Path, tmp_path: Path) -> None:
    audit(AuditConfig(spoilt, tmp_path, pictures=True))
    assert {"pairs.png", "conflicts.png"} < {p.name for p in tmp_path.iterdir()}


def test_fer2013_has_the_known_flaws(fer2013_dir: Path) -> None:
    rows = sources.read(fer2013_dir)
    found = examine(rows, np.zeros((0, 2), np.int64))
    assert found["unique"] == 34034
    across = [found["identical"][name] for name in ("train→validation", "train→test", "validation→test")]
    assert across == [280, 288, 44]
    assert found["conflicts"]["inside one split"] == 41
    assert found["black"] == 12
    assert list(found["classes"]["train"].values()) == [3995, 436, 4097, 7215, 4830, 3171, 4965]
    assert found["agreement"]["rows"] == 35887 and np.shape(found["agreement"]["confusion"]) == (7, 10)
    assert found["agreement"]["per_class"]["happy"]["rate"] == pytest.approx(0.917, abs=0.001)


def test_agreement_counts_a_tie_for_the_earlier_answer_and_contempt_for_none() -> None:
    votes = np.zeros((4, 10), np.int64)
    votes[0, 1], votes[1, 7], votes[2, [0, 1]], votes[3, 9] = 10, 10, 5, 10  # happiness, contempt, tie, not a face
    images = np.zeros((4, 8, 8), np.uint8)
    rows = sources.Rows(
        "x", images, np.array([3, 3, 3, 6]), LABELS, np.array(["train"] * 4), votes, np.array(["r"] * 4)
    )
    found = module.agreement(rows)
    assert found is not None
    assert found["rate"] == 0.25
    assert [row["rate"] for row in found["per_class"].values()] == [0, 0, 0, pytest.approx(1 / 3), 0, 0, 0]
    assert found["confusion"][3] == [1, 1, 0, 0, 0, 0, 0, 1, 0, 0] and found["confusion"][6][9] == 1
    assert module.agreement(replace(rows, votes=None)) is None
    assert module.agreement(replace(rows, labels=np.full(4, -1))) is None


def toy_data(**counts: list[int]) -> Data:
    """Splits with so many rows of each class; all images differ."""
    rng = np.random.default_rng(0)
    parts = {}
    for name in ("train", "validation", "test"):
        labels = np.repeat(np.arange(7), counts.get(name, [3] * 7))
        parts[name] = Split(rng.integers(0, 256, (len(labels), 48, 48), dtype=np.uint8), labels)
    return Data("fer2013-7", LABELS, **parts, dataset="toy")


WARNINGS = {
    "every class has 25 test rows": toy_data(test=[25] * 7),
    "7,178 rows, as has the union of FER2013's PublicTest and PrivateTest": replace(
        toy_data(), test=Split(np.zeros((7178, 48, 48), np.uint8), np.arange(7178) % 3 * 3)
    ),
    "551 rows are labelled disgust; all of FER2013 has 547": toy_data(train=[9, 545, 1, 1, 1, 1, 1]),
    "train and test share 2 identical images (9.5% of test)": replace(toy_data(), notes={"leaks": {"train→test": 2}}),
}


@pytest.mark.parametrize("sentence", WARNINGS)
def test_what_is_odd_about_splits_is_said_in_one_sentence(sentence: str) -> None:
    (given,) = warn(WARNINGS[sentence])
    assert sentence in given


def test_an_external_set_that_was_learnt_from_is_named() -> None:
    clean = toy_data()
    (given,) = warn(replace(clean, external=clean.train.take(np.arange(4))))
    assert given.startswith("4 of 4 images of the external set (100.0%)")


def test_splits_without_a_flaw_are_not_warned_of() -> None:
    assert warn(replace(toy_data(), notes={"leaks": {"train→test": 0}})) == []


def test_the_official_splits_leak(fer2013_dir: Path) -> None:
    official = warn(data.load("official", fer2013_dir))
    assert [sentence.split(" identical")[0] for sentence in official] == [
        "train and validation share 280", "train and test share 288", "validation and test share 44"
    ]  # fmt: skip
    assert ["official-clean" in sentence for sentence in official] == [True, True, False]


def test_one_fold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--folds 1: 0 .* 2 and more"):
        AuditConfig(folds=1)


def test_every_row_is_held_out_once_and_copies_are_never_on_two_sides() -> None:
    labels = np.arange(210) % 7
    groups = np.arange(210)
    groups[7:49] = groups[:42]  # 42 rows have a copy
    folds = label_errors.split(labels, groups, label_errors.Folds(Path("x"), 3))
    assert sorted(np.concatenate([test for *_, test in folds])) == list(range(210))
    for parts in folds:
        assert sorted(np.concatenate(parts)) == list(range(210))
        of = [set(groups[part]) for part in parts]
        assert not (of[0] & of[1] or of[0] & of[2] or of[1] & of[2])
        assert all(len(np.unique(labels[part])) == 7 for part in parts)


def test_a_class_too_small_for_the_folds_is_refused() -> None:
    images, folds = np.zeros((5, 48, 48), np.uint8), label_errors.Folds(Path("x"), 3)
    with pytest.raises(DataError, match="happy has 2 rows for 3 folds"):
        label_errors.predictions(images, np.array([0, 0, 0, 1, 1]), ("sad", "happy"), folds, "custom", "x")


@pytest.mark.slow
def test_wrong_labels_are_suspected_and_a_second_search_uses_the_finished_folds(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(600) % 3
    wrong = np.arange(10, 600, 50)
    given = labels.copy()
    given[wrong] = (given[wrong] + 1) % 3
    rows = [
        (int(seen), "Training", toy_picture(2 * int(label), rng)) for seen, label in zip(given, labels, strict=True)
    ]
    file = write_csv(tmp_path / "fer2013.csv", rows)
    config = AuditConfig(file, tmp_path / "out", folds=2, epochs=8, backbone="timm:test_resnet")
    found = audit(config)["label_errors"]
    assert found["rows"] == 600 and found["accuracy_out_of_fold"] > 0.9
    listed = {int(row["row"]) for row in table(config.out / "label_errors.csv")}
    assert len(listed & set(wrong.tolist())) >= 8 and len(listed - set(wrong.tolist())) <= 4
    assert found["suspects"] == len(listed)
    assert "Probable label errors" in (config.out / "audit.md").read_text(encoding="utf-8")
    before = {p: p.stat().st_mtime_ns for p in (config.out / "folds").rglob("*") if p.is_file()}
    assert audit(config)["label_errors"] == found
    assert before == {p: p.stat().st_mtime_ns for p in (config.out / "folds").rglob("*") if p.is_file()}
    write_csv(file, [rows[1], *rows[1:]])  # a row corrected: networks of the old labels must not judge the new ones
    for other in (config, replace(config, folds=3), replace(config, limit=300)):
        with pytest.raises(RunError, match=r"folds/0 holds a run on other data .*Give another --out"):
            audit(other)
