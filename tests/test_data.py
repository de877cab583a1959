"""Protocols: which rows, under which labels, in which split; on the real FER2013, and on toy rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import Row, toy_picture, toy_rows, write_csv
from numpy.typing import NDArray
from PIL import Image

from fer_hub.labels import labels_of
from train import data, duplicates, sources, splits
from train.data import Data, DataError
from train.rows import USAGES, VOTES, Rows

OFFICIAL = {
    "train": [3995, 436, 4097, 7215, 4830, 3171, 4965],
    "validation": [467, 56, 496, 895, 653, 415, 607],
    "test": [491, 55, 528, 879, 594, 416, 626],
}
GROUPED = ("random-80-20", "five-class")
SLOW = {"official-clean", *GROUPED}
"""Protocols that compare all images with all others: 15 seconds, once a session."""
FIXED = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name, protocol in data.PROTOCOLS.items()
    if protocol.sizes
]
Load = Callable[..., Data]


@pytest.fixture(scope="module")
def rows(fer2013_dir: Path) -> Rows:
    return sources.read(fer2013_dir)


@pytest.fixture(scope="module")
def load(rows: Rows, fer2013_dir: Path) -> Load:
    """data.load on the real rows, which are read once; each protocol is split once."""
    known: dict[tuple[str, str], Data] = {}

    def load(protocol: str, targets: str = "labels") -> Data:
        if (protocol, targets) not in known:
            known[protocol, targets] = data.load(protocol, fer2013_dir, targets=targets)
        return known[protocol, targets]

    return load


def three(loaded: Data) -> dict[str, data.Split]:
    return {usage: getattr(loaded, usage) for usage in USAGES}


def sizes(loaded: Data) -> tuple[int, ...]:
    return tuple(len(split) for split in three(loaded).values())


# ── on the real FER2013 ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("split", OFFICIAL)
def test_the_official_split_has_the_published_counts_per_class(load: Load, split: str) -> None:
    part = three(load("official"))[split]
    assert part.counts(7).tolist() == OFFICIAL[split]
    assert part.images.shape == (sum(OFFICIAL[split]), 48, 48)
    assert (part.images.dtype, part.labels.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize(
    ("protocol", "wanted"),
    [
        ("official", (28709, 3589, 3589)),
        pytest.param("official-clean", (27086, 3589, 3589), marks=pytest.mark.slow),
        ("folders", (22967, 5742, 7178)),
        ("ferplus", (25060, 3199, 3153)),
        ("ferplus-raw", (22711, 5678, 3553 + 3546)),
        pytest.param("random-80-20", (25120, 3589, 7178), marks=pytest.mark.slow),
        ("kaggle-28821", (25939, 2882, 7066)),
        pytest.param("five-class", (20400, 2914, 5828), marks=pytest.mark.slow),
    ],
)
def test_each_protocol_has_its_rows(load: Load, protocol: str, wanted: tuple[int, ...]) -> None:
    loaded = load(protocol)
    assert sizes(loaded) == wanted
    assert loaded.labels == labels_of(loaded.label_space)
    assert loaded.dataset == ("ferplus" if "ferplus" in protocol else "fer2013")


@pytest.mark.parametrize("protocol", FIXED)
def test_no_row_is_in_two_splits_and_each_keeps_its_image_and_label(load: Load, rows: Rows, protocol: str) -> None:
    loaded = load(protocol)
    taken = np.concatenate([split.rows for split in three(loaded).values()])
    assert len(np.unique(taken)) == len(taken)
    for split in three(loaded).values():
        some = np.linspace(0, len(split) - 1, 50).astype(int)
        assert np.array_equal(split.images[some], rows.images[split.rows[some]])
        if "ferplus" not in protocol:
            given = [rows.names[label] for label in rows.labels[split.rows]]
            assert [loaded.labels[label] for label in split.labels] == given


@pytest.mark.parametrize("protocol", [p for p in FIXED if p not in ("official", "ferplus", "ferplus-raw")])
def test_random_parts_hold_each_class_in_its_share(load: Load, protocol: str) -> None:
    loaded = load(protocol)
    counts = np.array([split.counts(len(loaded.labels)) for split in three(loaded).values()])
    if protocol in GROUPED:
        wanted = counts.sum(axis=0) * counts.sum(axis=1, keepdims=True) / counts.sum()
        assert np.abs(counts - wanted).max() <= 1
    elif protocol != "official-clean":  # test is given; validation is drawn from the rest
        rest = counts[:2].sum(axis=0)
        assert np.abs(counts[1] - rest * counts[1].sum() / rest.sum()).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("protocol", GROUPED)
def test_copies_exact_or_near_stay_on_one_side_of_grouped_splits(load: Load, rows: Rows, protocol: str) -> None:
    loaded = load(protocol)
    assert set(loaded.notes["leaks"].values()) == {0}
    side = np.full(len(rows), -1)
    for number, split in enumerate(three(loaded).values()):
        side[split.rows] = number
    one, other = duplicates.similar(rows.images).T
    assert len(one) > 1000
    both = (side[one] >= 0) & (side[other] >= 0)
    assert np.array_equal(side[one][both], side[other][both])


@pytest.mark.slow
def test_the_clean_protocol_leaves_out_exactly_the_training_rows_with_a_copy_outside(load: Load, rows: Rows) -> None:
    clean, whole = load("official-clean"), load("official")
    gone = set(whole.train.rows.tolist()) - set(clean.train.rows.tolist())
    outside = set(np.flatnonzero(rows.usage != "train").tolist())
    exact = {rows.images[row].tobytes() for row in outside}
    wanted = {int(row) for row in whole.train.rows if rows.images[row].tobytes() in exact}
    for one, other in duplicates.similar(rows.images).tolist():
        wanted |= {a for a, b in ((one, other), (other, one)) if a not in outside and b in outside}
    assert gone == wanted
    assert list(clean.notes["dropped"].values()) == [len(gone)]
    assert clean.notes["leaks"] == {"train→validation": 0, "train→test": 0, "validation→test": 44}


def test_identical_images_across_the_official_splits_are_counted(load: Load) -> None:
    assert load("official").notes["leaks"] == {"train→validation": 280, "train→test": 288, "validation→test": 44}


def test_the_folder_protocols_keep_the_challenges_test_rows_together(load: Load, rows: Rows) -> None:
    outside = np.flatnonzero(rows.usage != "train")
    assert load("folders").test.rows.tolist() == outside.tolist()
    winner = rows.votes[outside].argmax(axis=1)
    assert load("ferplus-raw").test.rows.tolist() == outside[winner < 8].tolist()


def test_the_kaggle_draw_has_the_folders_training_counts(load: Load) -> None:
    loaded = load("kaggle-28821")
    inside = loaded.train.counts(7) + loaded.validation.counts(7)
    assert dict(zip(loaded.labels, inside.tolist(), strict=True)) == splits.KAGGLE_TRAIN
    assert loaded.notes["leaks"]["train→validation"] == 0


@pytest.mark.parametrize(
    ("protocol", "dropped"),
    [
        ("official", {}),
        ("ferplus", {"no majority": 4200, "unknown": 99, "not a face": 176}),
        ("ferplus-raw", {"unknown": 222, "not a face": 177}),
        pytest.param("five-class", {"labelled disgust": 547, "labelled neutral": 6198}, marks=pytest.mark.slow),
    ],
)
def test_rows_left_out_are_counted_by_reason(load: Load, protocol: str, dropped: dict[str, int]) -> None:
    assert load(protocol).notes["dropped"] == dropped


@pytest.mark.parametrize("protocol", ["ferplus", "ferplus-raw", "official"])
def test_votes_as_targets_are_shares_of_the_votes_for_the_labels(load: Load, rows: Rows, protocol: str) -> None:
    loaded = load(protocol, "votes")
    targets = loaded.train.targets
    assert targets.shape == (len(loaded.train), len(loaded.labels))
    assert np.allclose(targets.sum(axis=1), 1)
    assert (loaded.validation.targets, loaded.test.targets) == (None, None)
    columns = [VOTES.index({"angry": "anger", "sad": "sadness", "happy": "happiness"}.get(n, n)) for n in loaded.labels]
    votes = rows.votes[loaded.train.rows][:, columns]
    some = votes.sum(axis=1) > 0
    assert np.array_equal(targets[some].argmax(axis=1), votes[some].argmax(axis=1))
    assert np.array_equal(targets[~some], np.eye(len(loaded.labels))[loaded.train.labels[~some]])
    if "ferplus" in protocol:
        assert np.array_equal(targets.argmax(axis=1), loaded.train.labels)
    else:
        assert np.sum(~some) == 152
    assert load(protocol).digest != loaded.digest


def test_the_same_protocol_gives_the_same_data_again(load: Load, fer2013_dir: Path) -> None:
    again = data.load("folders", fer2013_dir)
    assert again.digest == load("folders").digest != load("official").digest
    assert np.array_equal(again.validation.rows, load("folders").validation.rows)


@pytest.mark.slow
def test_a_csv_of_real_rows_reads_back_pixel_for_pixel(load: Load, tmp_path: Path) -> None:
    real, rng = three(load("official")), np.random.default_rng(3)
    names = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    picked = [(usage, i) for usage in USAGES for i in np.linspace(0, len(real[usage]) - 1, 80).astype(int)]
    given = [(int(real[usage].labels[i]), names[usage], real[usage].images[i]) for usage, i in picked]
    rng.shuffle(given)  # type: ignore[arg-type]  # usages mixed, as nothing says that they come in blocks
    read = data.load("as-given", write_csv(tmp_path / "fer2013.csv", given))
    for usage, split in three(read).items():
        wanted = [(label, pixels) for label, usage_, pixels in given if usage_ == names[usage]]
        assert split.labels.tolist() == [label for label, _ in wanted]
        assert np.array_equal(split.images, np.stack([pixels for _, pixels in wanted]))


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", [name for name, p in data.PROTOCOLS.items() if p.sizes and "ferplus" not in name])
def test_a_protocol_refuses_other_rows_than_it_is_defined_for(toy_csv: Path, protocol: str) -> None:
    with pytest.raises(
        DataError, match=rf"fer2013 has \d+ such rows \(.*\); the protocol {protocol} is defined for \d+"
    ):
        data.load(protocol, toy_csv)


def test_ferplus_protocols_and_targets_need_votes(toy_csv: Path) -> None:
    with pytest.raises(DataError, match=r"fer2013 has no FERPlus votes\. Put fer2013new\.csv"):
        data.load("ferplus", toy_csv)
    with pytest.raises(DataError, match=r"fer2013 has no FERPlus votes"):
        data.load("as-given", toy_csv, targets="votes")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "offical"}, r"Unknown protocol 'offical'\. Known: official, official-clean, folders"),
        ({"targets": "vote"}, r"Unknown targets 'vote'\. Known: labels, votes"),
        ({"align": "nose"}, r"Unknown align 'nose'\. Known: none, box, eyes"),
        ({"on_missing": "skip"}, r"Unknown on_missing 'skip'\. Known: keep, drop"),
    ],
)
def test_an_unknown_option_lists_the_known_ones(toy_csv: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.load(source=toy_csv, **({"protocol": "as-given"} | options))


def test_without_a_source_the_environment_variable_names_it(toy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER2013_DIR", str(toy_csv))
    assert len(data.load("as-given").train) == 200
    monkeypatch.delenv("FER2013_DIR")
    with pytest.raises(DataError, match=r"Give --data PATH .* or set FER2013_DIR"):
        data.load("as-given")


# ── as-given, on toy rows ────────────────────────────────────────────────────────────────────────────────────────────


def toy(usages: dict[str, int], labels: int = 7) -> list[Row]:
    rng = np.random.default_rng(1)
    return [(i % labels, usage, toy_picture(i % labels, rng)) for usage, n in usages.items() for i in range(n)]


@pytest.mark.parametrize(
    ("usages", "wanted"),
    [
        ({"Training": 70, "PublicTest": 20, "PrivateTest": 30}, (70, 20, 30)),
        ({"Training": 140, "PrivateTest": 30}, (126, 14, 30)),
        ({"Training": 140, "PublicTest": 30}, (126, 14, 30)),
        ({"Training": 140}, (98, 14, 28)),
        ({"PrivateTest": 140}, (98, 14, 28)),
    ],
    ids=["three", "train and test", "train and validation", "train", "test"],
)
def test_splits_that_a_source_lacks_are_drawn_from_training(
    tmp_path: Path, usages: dict[str, int], wanted: tuple[int, ...]
) -> None:
    loaded = data.load("as-given", write_csv(tmp_path / "fer2013.csv", toy(usages)))
    assert sizes(loaded) == wanted
    assert all(split.counts(7).min() > 0 for split in three(loaded).values())
    assert loaded.label_space == "fer2013-7"


@pytest.mark.parametrize(
    ("names", "space", "labels"),
    [
        (["surprised", "anger", "fear", "happy", "sad"], "basic-5", labels_of("basic-5")),
        (["sad", "happy"], "custom", ("happy", "sad")),
        (["contempt", "neutral", "anger"], "custom", ("angry", "neutral", "contempt")),
    ],
)
def test_own_labels_get_their_known_space_or_a_custom_one(
    tmp_path: Path, names: list[str], space: str, labels: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(rng.integers(0, 256, (20, 20), np.uint8)).save(tmp_path / split / name / "a.png")
    loaded = data.load("as-given", tmp_path)
    assert (loaded.label_space, loaded.labels, loaded.dataset) == (space, labels, tmp_path.name)
    assert sorted(loaded.train.labels.tolist()) == list(range(len(names)))


def test_a_class_without_training_rows_and_a_source_without_training_are_refused(tmp_path: Path) -> None:
    rows = [row for row in toy({"Training": 40, "PublicTest": 20, "PrivateTest": 20}) if row[:2] != (3, "Training")]
    with pytest.raises(DataError, match=r"no training row is labelled happy"):
        data.load("as-given", write_csv(tmp_path / "fer2013.csv", rows))
    with pytest.raises(DataError, match=r"no row is for training"):
        data.load("as-given", write_csv(tmp_path / "fer2013.csv", toy({"PublicTest": 20, "PrivateTest": 20})))
    with pytest.raises(DataError, match=r"no row is left for the split validation; 4 rows are too few"):
        data.load("as-given", write_csv(tmp_path / "fer2013.csv", toy({"Training": 3, "PrivateTest": 1}, labels=1)))


def test_limit_spreads_the_rows_over_each_split(toy_csv: Path) -> None:
    whole, part = data.load("as-given", toy_csv), data.load("as-given", toy_csv, limit=5)
    assert sizes(part) == (5, 5, 5)
    assert part.train.rows.tolist() == [whole.train.rows[i] for i in (0, 50, 100, 149, 199)]
    assert np.array_equal(part.test.images, whole.test.images[[0, 15, 30, 44, 59]])
    assert sizes(data.load("as-given", toy_csv, limit=100)) == (100, 60, 60)


def test_an_external_set_is_mapped_into_the_protocols_labels_by_name(toy_csv: Path, tmp_path: Path) -> None:
    for name in ("Sadness", "anger", "contempt"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((30, 30), len(name), np.uint8)).save(tmp_path / name / "a.png")
    loaded = data.load("as-given", toy_csv, external=tmp_path)
    assert loaded.external is not None
    assert [loaded.labels[i] for i in loaded.external.labels] == ["sad", "angry"]
    assert loaded.external.images[:, 0, 0].tolist() == [len("Sadness"), len("anger")]
    assert loaded.notes["external"] == {"dataset": tmp_path.name, "rows": 2, "dropped": {"labelled contempt": 1}}
    with pytest.raises(DataError, match=r"named as external set, has no row with one of happy"):
        sad = write_csv(tmp_path / "happy.csv", toy({"Training": 20, "PublicTest": 5, "PrivateTest": 5}, labels=1))
        data._with_external(data.replace(loaded, labels=("happy",)), sources.read(sad))


def test_the_digest_changes_with_a_pixel_a_label_and_a_rows_place(toy_csv: Path) -> None:
    loaded = data.load("as-given", toy_csv)
    digests = {loaded.digest, data.load("as-given", toy_csv, limit=50).digest}
    for change in ("images", "labels"):
        other = data.load("as-given", toy_csv)
        getattr(other.test, change)[0] += 1
        digests.add(other.digest)
    digests.add(data.replace(loaded, test=loaded.test.take(np.arange(60)[::-1])).digest)
    assert len(digests) == 5
    assert data.load("as-given", toy_csv).digest == loaded.digest


# ── alignment ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def found_by_brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the detector, which these rows need not know: a face is found where the first pixel is below 60."""

    def align(images: NDArray[np.uint8], mode: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        return np.repeat(np.repeat(images, 2, axis=1), 2, axis=2), images[:, 0, 0] < 60

    module = ModuleType("train.align")
    module.align = align  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "train.align", module)
    monkeypatch.setattr("train.align", module, raising=False)


@pytest.mark.usefixtures("found_by_brightness")
def test_alignment_counts_faces_and_drops_rows_without_one_from_every_split(toy_csv: Path) -> None:
    plain, kept, left = (
        data.load("as-given", toy_csv, **options)
        for options in ({}, {"align": "box"}, {"align": "eyes", "on_missing": "drop"})
    )
    assert (plain.alignment, kept.alignment, left.alignment) == ("none", "box", "eyes")
    assert sizes(kept) == sizes(plain)
    for usage in USAGES:
        found = three(plain)[usage].images[:, 0, 0] < 60
        assert 0 < found.sum() < len(found)
        counts = {"samples": len(found), "not_detected": int(np.sum(~found)), "left": int(found.sum())}
        assert left.notes["alignment"][usage] == counts
        assert kept.notes["alignment"][usage] == counts | {"left": len(found)}
        assert three(left)[usage].rows.tolist() == three(plain)[usage].rows[found].tolist()
        assert three(left)[usage].images.shape[1:] == (96, 96)


@pytest.mark.usefixtures("found_by_brightness")
def test_dropping_the_last_row_of_a_class_is_refused(tmp_path: Path) -> None:
    rows = toy_rows()
    for label, _, pixels in rows:
        pixels[0, 0] = 200 if label == 1 else 0
    with pytest.raises(DataError, match=r"train: no face is found in any row labelled disgust\. Use --on-missing keep"):
        data.load("as-given", write_csv(tmp_path / "fer2013.csv", rows), align="box", on_missing="drop")


# ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("counts", "total", "wanted"),
    [([10, 20, 30], 6, [1, 2, 3]), ([1, 1, 1], 2, [1, 1, 0]), ([5, 0, 5], 5, [3, 0, 2]), ([3, 3], 0, [0, 0])],
)
def test_apportioning_is_exact_in_sum_and_by_largest_remainders(
    counts: list[int], total: int, wanted: list[int]
) -> None:
    assert splits.apportion(np.array(counts), total).tolist() == wanted


def test_draws_keep_groups_of_mixed_labels_together_at_exact_sizes() -> None:
    rng = np.random.default_rng(5)
    labels, groups = rng.integers(0, 4, 1000), np.minimum(np.arange(1000), rng.integers(0, 1000, 1000))
    groups = np.where(rng.random(1000) < 0.3, groups, np.arange(1000))
    parts = splits.draw(labels, (700, 100, 200), groups)
    assert [len(part) for part in parts] == [700, 100, 200]
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    sides = [set(groups[part].tolist()) for part in parts]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert all(len(np.unique(groups[part])) < len(part) for part in parts)  # each part got groups, too
