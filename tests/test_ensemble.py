"""fer_hub.ensemble and fer_hub.views: the mean of the probabilities, loaded by one id."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
from hub_server import HubServer
from tiny_models import SEVEN

from fer_hub import ModelError, Recognizer, hub
from fer_hub.backbones import load_model
from fer_hub.classifier import BATCH, Classifier, TorchClassifier, classify, load_classifier
from fer_hub.download import Place
from fer_hub.ensemble import Ensemble, Member, where
from fer_hub.explain import explain
from fer_hub.hub import ZOO, find_model, read_config, read_info
from fer_hub.image import crop, read
from fer_hub.listing import describe
from fer_hub.types import Array, Image
from fer_hub.views import VIEWS

PHOTO = Path(__file__).parents[1] / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
OTHER = tuple(reversed(SEVEN))


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return tiny.network(tmp_path / "a", temperature=1.7)


@pytest.fixture
def b(tmp_path: Path) -> Path:
    """A network of another size, whose labels are in another order."""
    return tiny.network(tmp_path / "b", OTHER, side=12, seed=1)


def mean(a: Path, b: Path, crops: Sequence[Image], weights: tuple[float, float] = (1, 1)) -> np.ndarray:
    """The weighted mean of the two, in the order of FER2013's labels."""
    both = [tiny.expected(a, crops), tiny.expected(b, crops)[:, ::-1]]
    return np.average(both, axis=0, weights=weights)


def corners(face: Image) -> list[Image]:
    """The ten crops of Krizhevsky et al. of a face of 48 or 64 pixels, by hand."""
    side, last, half = {48: (42, 6, 3), 64: (56, 8, 4)}[len(face)]
    places = [(0, 0), (0, last), (last, 0), (last, last), (half, half)]
    cut = [face[y : y + side, x : x + side] for y, x in places]
    return cut + [np.fliplr(view) for view in cut]


BY_HAND = {"none": lambda face: [face], "flip": lambda face: [face, np.fliplr(face)], "tencrop": corners}


# ── the mean ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 0.5)])
def test_the_answer_is_the_weighted_mean_over_members_and_views(
    a: Path, b: Path, tmp_path: Path, views: str, weights: tuple[float, float]
) -> None:
    rows = [{"model": f"../{name}", "weight": w} for name, w in zip("ab", weights, strict=True)]
    model = load_classifier(tiny.ensemble(tmp_path / "e", rows, side=12, views=views))
    faces = [face for face in tiny.crops(8) if len(face) in (48, 64)]
    wanted = [mean(a, b, BY_HAND[views](face), weights).mean(0) for face in faces]
    np.testing.assert_allclose(classify(model, faces), wanted, atol=1e-6)


def test_the_temperature_of_an_ensemble_is_that_of_the_mean(a: Path, b: Path, tmp_path: Path) -> None:
    model = load_classifier(tiny.ensemble(tmp_path / "e", ["../a", "../b"], temperature=0.5))
    powers = mean(a, b, tiny.crops(4)) ** 2
    np.testing.assert_allclose(classify(model, tiny.crops(4)), powers / powers.sum(1, keepdims=True), atol=1e-6)


def test_the_labels_are_in_the_order_that_the_ensemble_names_them(a: Path, b: Path, tmp_path: Path) -> None:
    forwards = load_classifier(tiny.ensemble(tmp_path / "e", ["../a", "../b"]))
    backwards = load_classifier(tiny.ensemble(tmp_path / "f", ["../a", "../b"], OTHER))
    assert backwards.info.labels == OTHER
    faces = tiny.crops(3)
    np.testing.assert_allclose(classify(backwards, faces), classify(forwards, faces)[:, ::-1], atol=1e-7)


@pytest.mark.parametrize("views", VIEWS)
def test_no_crops_give_no_rows_and_one_pixel_gives_one(a: Path, b: Path, views: str) -> None:
    model = load_classifier([a, b], views=views)
    assert classify(model, []).shape == (0, 7)
    dots = [np.full((1, 1), 7, np.uint8), np.full((1, 1, 3), 7, np.uint8)]
    np.testing.assert_allclose(classify(model, dots), mean(a, b, dots), atol=1e-6)


class Counting:
    """A classifier that remembers how many images it was given at a time."""

    def __init__(self, inner: Classifier) -> None:
        self.info, self.inner, self.counts = inner.info, inner, list[int]()

    def logits(self, crops: Sequence[Image]) -> Array:
        self.counts.append(len(crops))
        return self.inner.logits(crops)


def test_many_faces_are_answered_as_each_alone_and_few_views_are_held_at_a_time(a: Path) -> None:
    counting = Counting(load_classifier(a))
    model, faces = Ensemble.of([counting], views="tencrop"), tiny.crops(2 * BATCH + 3)
    together = classify(model, faces)
    assert counting.counts == [10 * BATCH, 10 * BATCH, 30]
    for place in (0, BATCH - 1, BATCH, 2 * BATCH + 2):
        np.testing.assert_allclose(classify(model, [faces[place]])[0], together[place], atol=1e-6)


@pytest.mark.parametrize(("views", "count"), [("none", 1), ("flip", 2), ("tencrop", 10)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (7, 5), (48, 48, 3)])
def test_views_are_many_and_of_one_size(views: str, count: int, shape: tuple[int, ...]) -> None:
    found = VIEWS[views](np.zeros(shape, np.uint8))
    assert len(found) == count
    assert len({view.shape for view in found}) == 1
    assert min(found[0].shape) > 0
    assert found[0].ndim == len(shape)


# ── put together on the fly ──────────────────────────────────────────────────────────────────────────────────────────


def test_several_sources_make_an_ensemble(a: Path, b: Path) -> None:
    model = load_classifier([a, str(b)])
    assert isinstance(model, Ensemble)
    assert model.info.name == "a + b"
    assert model.info.input.size == (12, 12)
    assert model.info.fer == {}
    np.testing.assert_allclose(classify(model, tiny.crops(4)), mean(a, b, tiny.crops(4)), atol=1e-6)


def test_one_source_in_a_list_is_that_model(a: Path) -> None:
    assert not isinstance(load_classifier([a]), Ensemble)


def test_views_that_an_ensemble_has_already_are_not_taken_twice(a: Path, tmp_path: Path) -> None:
    folder = tiny.ensemble(tmp_path / "e", ["../a"], views="flip")
    own, again, more = (load_classifier(folder, views=views) for views in ("none", "flip", "tencrop"))
    assert own.info == again.info
    assert more.info.name == "e (tencrop)"
    assert isinstance(more, Ensemble)
    assert isinstance(more.members[0], Ensemble)


def test_the_recognizer_takes_several_models_and_views(a: Path, b: Path) -> None:
    recognizer = Recognizer.from_pretrained([a, b], views="flip")
    image = np.stack([tiny.crops(1)[0]] * 3, axis=-1)
    (found,) = recognizer(image, whole_image=True)
    wanted = mean(a, b, [image, np.fliplr(image)]).mean(0)
    np.testing.assert_allclose([found.scores[label] for label in SEVEN], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": []}, "ensemble of no members. Give one"),
        ({"views": "mirror"}, "Unknown views 'mirror'. Known: none, flip, tencrop"),
    ],
)
def test_what_cannot_be_put_together_is_said_before_anything_is_loaded(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_classifier(**{"source": "nobody/nothing-that-exists", **options})


def test_members_must_name_the_same_labels_and_want_the_same_crop(a: Path, tmp_path: Path) -> None:
    five = tiny.network(tmp_path / "five", SEVEN[:5])
    wide = tiny.network(tmp_path / "wide", face_margin={"scale": 2.0})
    eyes = tiny.network(tmp_path / "eyes", alignment="eyes")
    for other, what in [(five, "labels"), (wide, "margin"), (eyes, "alignment")]:
        with pytest.raises(ModelError, match=rf"{other.name} cannot be a member of a \+ {other.name}: its {what} is"):
            load_classifier([a, other])


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_each_member_needs_a_weight_above_0(a: Path, weights: list[float]) -> None:
    model = load_classifier(a)
    with pytest.raises(ValueError, match="give one weight above 0 for each"):
        Ensemble.of([model, model], weights)


def test_weights_may_be_an_array(a: Path) -> None:
    model = load_classifier(a)
    assert Ensemble.of([model, model], np.array([1.0, 3.0])).weights.tolist() == [0.25, 0.75]


# ── its folder ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_member_may_be_an_ensemble(a: Path, b: Path, tmp_path: Path) -> None:
    tiny.ensemble(tmp_path / "e", ["../a", "../b"])
    model = load_classifier(tiny.ensemble(tmp_path / "f", ["../e", {"model": "../a", "weight": 3}]))
    faces = tiny.crops(4)
    wanted = mean(a, b, faces) / 4 + tiny.expected(a, faces) * 3 / 4
    np.testing.assert_allclose(classify(model, faces), wanted, atol=1e-6)


def test_ensembles_are_nested_two_deep_and_no_deeper(a: Path, tmp_path: Path) -> None:
    for name, member in zip("efg", ["../a", "../e", "../f"], strict=True):
        folder = tiny.ensemble(tmp_path / name, [member])
    assert load_classifier(tmp_path / "f").info.labels == load_classifier(a).info.labels
    with pytest.raises(ModelError, match=r"e is an ensemble inside of 2 others; at most 2 may be nested"):
        load_classifier(folder)


@pytest.mark.parametrize("way", [["."], ["../f"]], ids=["itself", "by another"])
@pytest.mark.parametrize("ask", [load_classifier, describe, Recognizer.from_pretrained])
def test_an_ensemble_inside_of_itself_is_named(tmp_path: Path, way: list[str], ask: Any) -> None:
    folder = tiny.ensemble(tmp_path / "e", way)
    tiny.ensemble(tmp_path / "f", ["../e"])
    with pytest.raises(ModelError, match=r"e is a member of itself. Take it out"):
        ask(folder)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ("a", "the list of members is broken"),
        (None, "the list of members is broken"),
        ([], "it is empty"),
        (["fer-lite0"] * 17, "17 members; at most 16 are allowed"),
        ({"a": 1}, "the list of members is broken"),
        ([["../a"]], "the list of members is broken"),
        ([{"weight": 1}], "missing.*model"),
        ([{"model": "../a", "wieght": 1}], "wieght"),
        ([{"model": "../a", "weight": -1}], r"\.\./a has weight -1; it must be above 0"),
        ([{"model": "../a", "weight": 0}], "weight 0"),
        ([{"model": "../a", "weight": float("nan")}], "weight nan"),
        ([{"model": "../a", "weight": float("inf")}], "weight inf"),
        ([{"model": "../a", "weight": "2"}], "the list of members is broken"),
        ([{"model": 3}], "the list of members is broken"),
        (["a"], r"'a' is neither one of the zoo \(fer-lite0.*owner/name.*begins with ./"),
        ([""], "'' is neither"),
        (["/a"], "'/a' is neither"),
        (["..\\a"], "is neither"),
        (["../gone"], r"\.\./gone, a member of e, cannot be loaded"),
        (["../five"], "five cannot be a member of e: its labels"),
    ],
)
def test_broken_members_are_told_apart(a: Path, tmp_path: Path, members: Any, message: str) -> None:
    tiny.network(tmp_path / "five", SEVEN[:5])
    with pytest.raises(ModelError, match=message):
        load_classifier(tiny.ensemble(tmp_path / "e", members))


@pytest.mark.parametrize("views", ["mirror", 3, ["flip"], None])
def test_unknown_views_in_a_config_are_the_models_fault(a: Path, tmp_path: Path, views: Any) -> None:
    with pytest.raises(ModelError, match=r"config\.json holds a wrong value: "):
        load_classifier(tiny.ensemble(tmp_path / "e", ["../a"], views=views))


@pytest.mark.parametrize("key", ["label_names", "pretrained_cfg", "fer"])
def test_a_config_that_lacks_a_field_is_named(a: Path, tmp_path: Path, key: str) -> None:
    path = tiny.ensemble(tmp_path / "e", ["../a"]) / "config.json"
    values = json.loads(path.read_text())
    del values[key]
    path.write_text(json.dumps(values))
    with pytest.raises(ModelError, match=rf"config\.json.*{key}"):
        load_classifier(tmp_path / "e")


def test_a_member_that_has_changed_since_is_warned_of(a: Path, tmp_path: Path) -> None:
    right = hashlib.sha256((a / "onnx" / "model.onnx").read_bytes()).hexdigest()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_classifier(tiny.ensemble(tmp_path / "e", [{"model": "../a", "sha256": right}]))
    with pytest.warns(UserWarning, match=r"\.\./a has changed since f was measured"):
        load_classifier(tiny.ensemble(tmp_path / "f", [{"model": "../a", "sha256": "0" * 64}]))


def test_a_variant_that_a_member_lacks_is_named(a: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"\.\./a, a member of e, cannot be loaded: .*model_quantized.onnx"):
        load_classifier(tiny.ensemble(tmp_path / "e", ["../a"]), variant="int8")


@pytest.fixture
def flipped(tmp_path: Path) -> Path:
    """An ensemble of the embedded model, mirrored views."""
    whole = read_config(ZOO / "fer-lite0")
    fer = {"grey": True, "face_margin": whole["fer"]["face_margin"], "views": "flip"}
    folder = tiny.ensemble(tmp_path / "flipped", ["fer-lite0"], side=96, **fer)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"pretrained_cfg": whole["pretrained_cfg"]}))
    return folder


def test_an_ensemble_in_the_zoo_is_a_name_like_any_other(
    flipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = tmp_path / "zoo"
    zoo.mkdir()
    flipped.rename(zoo / "two-views")
    (zoo / "fer-lite0").symlink_to(ZOO / "fer-lite0")
    monkeypatch.setattr(hub, "ZOO", zoo)
    (found,), (single,) = Recognizer.from_pretrained("two-views")(PHOTO), Recognizer.from_pretrained()(PHOTO)
    assert found.label == single.label == "happy"
    assert found.confidence != single.confidence
    row = describe("two-views")
    assert row["members"] == ["fer-lite0"]
    assert row["onnx_mb"] == describe("fer-lite0")["onnx_mb"]


def test_grad_cam_of_an_ensemble_is_the_mean_of_its_members_maps(flipped: Path) -> None:
    model, single = load_classifier(flipped), load_classifier()
    image, recognizer = read(PHOTO), Recognizer(single)
    face = crop(image, recognizer.detector.detect(image)[0], single.info.margin)
    for target in ("happy", "sad"):
        ours = explain(model, face, "grad-cam", target)
        assert ours.heat.max() == 1
        np.testing.assert_allclose(ours.heat, explain(single, face, "grad-cam", target).heat, atol=1e-6)


def test_an_ensemble_is_no_torch_module_but_its_members_are(flipped: Path) -> None:
    with pytest.raises(ModelError, match=r"flipped is an ensemble.*Load one of its members \(fer-lite0"):
        load_model(flipped)
    model = load_classifier(flipped, runtime="torch")
    assert isinstance(model, Ensemble)
    assert isinstance(model.members[0], TorchClassifier)
    np.testing.assert_allclose(
        classify(model, tiny.crops(2)), classify(load_classifier(flipped), tiny.crops(2)), atol=1e-4
    )


def test_a_torch_module_in_a_subfolder_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "members").mkdir()
    (tmp_path / "members" / "x").symlink_to(ZOO / "fer-lite0")
    assert load_model(tmp_path, subfolder="members/x").num_features == 1280


# ── on the Hub ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def server(a: Path, b: Path, tmp_path: Path) -> Iterator[HubServer]:
    """A Hub with me/within (members inside of it), me/apart (one member inside, one by id), and me/b."""
    within = tiny.files(tiny.ensemble(tmp_path / "within", ["./members/a", "./members/b"]))
    apart = tiny.files(tiny.ensemble(tmp_path / "apart", ["./members/a", {"model": "me/b", "revision": "v1"}]))
    with HubServer() as found:
        found.put("me/within", within | tiny.files(a, "members/a/") | tiny.files(b, "members/b/"))
        found.put("me/apart", apart | tiny.files(a, "members/a/"))
        repo = found.put("me/b", tiny.files(b))
        repo.refs["refs/tags/v1"] = repo.head.oid
        found.put("me/b", {"onnx/model.onnx": b"not what was measured"})
        yield found


def place(server: HubServer, cache: Path, **options: Any) -> Place:
    return Place(**{"cache_dir": cache, "token": server.token, "endpoint": server.url, **options})


@pytest.mark.parametrize("repo", ["me/within", "me/apart"])
def test_one_id_loads_a_repository_and_all_its_members(
    server: HubServer, a: Path, b: Path, tmp_path: Path, repo: str
) -> None:
    there = place(server, tmp_path / "cache")
    model = load_classifier(repo, place=there)
    assert model.info.name == repo
    wanted = mean(a, b, tiny.crops(4))
    np.testing.assert_allclose(classify(model, tiny.crops(4)), wanted, atol=1e-6)
    server.close()
    for offline in (place(server, tmp_path / "cache", local_files_only=True), there):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the Hub is gone
            again = load_classifier(repo, place=offline)
        np.testing.assert_allclose(classify(again, tiny.crops(4)), wanted, atol=1e-6)


def test_the_members_inside_are_those_of_the_same_commit(server: HubServer, a: Path, b: Path, tmp_path: Path) -> None:
    old = server.repos["model", "me/within"].head.oid
    server.put("me/within", {"members/a/onnx/model.onnx": b"broken since"})
    model = load_classifier("me/within", place=place(server, tmp_path / "cache", revision=old))
    np.testing.assert_allclose(classify(model, tiny.crops(2)), mean(a, b, tiny.crops(2)), atol=1e-6)
    with pytest.raises(ModelError, match=r"\./members/a, a member of me/within, cannot be loaded"):
        load_classifier("me/within", place=place(server, tmp_path / "cache"))


def test_only_what_is_needed_is_fetched(server: HubServer, tmp_path: Path) -> None:
    load_classifier("me/within", place=place(server, tmp_path / "cache"))
    (commit,) = (tmp_path / "cache" / "models--me--within" / "snapshots").iterdir()
    found = {path.relative_to(commit).as_posix() for path in commit.rglob("*") if path.is_file()}
    inside = {f"members/{name}/{file}" for name in "ab" for file in ("config.json", "onnx/model.onnx")}
    assert found == {"config.json"} | inside


def test_a_member_of_a_member_is_found_in_the_repository(server: HubServer, a: Path, b: Path, tmp_path: Path) -> None:
    nested = tiny.files(tiny.ensemble(tmp_path / "in", ["../a", "./b"]), "members/in/")
    whole = tiny.files(tiny.ensemble(tmp_path / "out", ["./members/in"]))
    server.put("me/nested", whole | nested | tiny.files(a, "members/a/") | tiny.files(b, "members/in/b/"))
    model = load_classifier("me/nested", place=place(server, tmp_path / "cache"))
    np.testing.assert_allclose(classify(model, tiny.crops(2)), mean(a, b, tiny.crops(2)), atol=1e-6)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("me/gone", "me/gone, a member of me/bad, cannot be loaded: me/gone .*no such repository"),
        ("./gone", r"\./gone, a member of me/bad, cannot be loaded: me/bad has no gone/"),
        ("../../../../a", r"me/bad lists the member \.\./\.\./\.\./\.\./a, outside of it"),
        ("./x/../../a", "outside of it"),
        ("/etc", "'/etc' is neither"),
        (".", "me/bad is a member of itself"),
        ("me/bad", "me/bad is a member of itself"),
        ("me/worse", "me/bad is a member of itself"),
    ],
)
def test_a_wrong_member_in_a_repository_is_named(server: HubServer, tmp_path: Path, member: str, message: str) -> None:
    server.put("me/bad", tiny.files(tiny.ensemble(tmp_path / "bad", [member])))
    server.put("me/worse", tiny.files(tiny.ensemble(tmp_path / "worse", ["me/bad"])))
    with pytest.raises(ModelError, match=message):
        load_classifier("me/bad", place=place(server, tmp_path / "cache"))


def test_a_private_member_is_fetched_with_the_same_token(server: HubServer, tmp_path: Path) -> None:
    server.repos["model", "me/b"].private = True
    assert load_classifier("me/apart", place=place(server, tmp_path / "cache")).info.labels == SEVEN
    with pytest.raises(ModelError, match="me/b, a member of me/apart, cannot be loaded"):
        load_classifier("me/apart", place=place(server, tmp_path / "other", token=False))


def test_an_ensemble_on_the_hub_is_described_by_its_small_files(server: HubServer, tmp_path: Path) -> None:
    sizes = {"a": 100, "b": 50}
    for name, size in sizes.items():
        row = {"published": True, "bytes": size * 10_000}
        both = {"fp32": row, "int8": row} if name == "a" else {"fp32": row}
        measured = json.dumps({"variants": both}).encode()
        server.put("me/within", {f"members/{name}/onnx/variants.json": measured})
    row = describe("me/within", place(server, tmp_path / "cache"))
    assert row["architecture"] == "ensemble"
    assert row["members"] == ["./members/a", "./members/b"]
    assert row["onnx_mb"] == {"fp32": 1.5}
    assert not list((tmp_path / "cache").rglob("model.onnx"))


def test_a_network_in_a_subfolder_is_loaded_by_its_place(server: HubServer, b: Path, tmp_path: Path) -> None:
    there = place(server, tmp_path / "cache", subfolder="members/b")
    assert read_info(find_model("me/within", place=there)).labels == OTHER
    found = classify(load_classifier("me/within", place=there), tiny.crops(2))
    np.testing.assert_allclose(found, tiny.expected(b, tiny.crops(2)), atol=1e-6)


def test_a_folder_here_is_not_taken_for_a_member_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--me--both" / "snapshots" / "abc"
    monkeypatch.chdir(tmp_path)
    member = Member("runs/mine", revision="v1")
    assert where(member, snapshot, Place()) == ("runs/mine", Place(revision="v1"))
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(ModelError, match="me/both lists runs/mine of the Hub as a member, but a folder of that name"):
        where(member, snapshot, Place())


def test_models_that_know_none_of_the_labels_say_so() -> None:
    with pytest.raises(ValueError, match="contempt"):
        load_classifier(["fer-lite0", "fer-lite0"], labels=["contempt"])
