"""train.teacher: a run is taught what the teacher's own classifier says of the same pictures."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import tyro
from accelerate import Accelerator
from conftest import toy_config, toy_picture
from safetensors.torch import load_file, save_file
from tiny_models import SEVEN, ensemble

from fer_hub.backbones import build
from fer_hub.classifier import TorchClassifier, softmax
from fer_hub.types import InputSpec
from train import card_data, cards, data, figures, leaks, loop, pictures, start, teacher
from train.__main__ import main
from train.augment import Ranges, draw
from train.batches import make_batch
from train.config import RunConfig, model_name, to_json
from train.presets import assignments
from train.run_folder import Interrupted, RunError

CPU = torch.device("cpu")
LEARNER = InputSpec((48, 48), 3, (0.5,) * 3, (0.5,) * 3)
FACES = np.stack([toy_picture(label, np.random.default_rng(label)) for label in range(7)])


def made(folder: Path, seed: int = 0, side: int = 48, channels: int = 3, norm: float = 0.5, **changes: Any) -> Path:
    """A teacher's model folder with random weights; `changes` of its config.json's "fer" block, or of its labels."""
    torch.manual_seed(seed)
    labels = changes.pop("labels", SEVEN)
    model = build("timm:test_resnet", len(labels), {"in_chans": channels})
    spec = InputSpec((side, side), channels, (norm,) * channels, (norm / 2,) * channels)
    with torch.no_grad():
        for _ in range(40):
            model.train()(inputs(spec))  # without the statistics of batch norm it says the same of all faces
    model.fc.weight.data *= 40  # so that it is sure of something
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": "test_resnet",
        "num_classes": len(labels),
        "label_names": list(labels),
        "model_args": {"in_chans": channels},
        "pretrained_cfg": {
            "input_size": [channels, side, side],
            "interpolation": "bicubic",
            "mean": spec.mean,
            "std": spec.std,
        },
        "fer": {"grey": True, "temperature": 1.7, "protocol": "as-given"} | changes,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def inputs(spec: InputSpec = LEARNER) -> torch.Tensor:
    """The seven faces as a learner gets them that nothing augments."""
    return make_batch(torch.from_numpy(FACES), draw(len(FACES), 0, 0, 0), Ranges(), spec)


def own_scores(folder: Path, temperature: float = 1.0) -> np.ndarray[Any, Any]:
    """What the model's own classifier gives the faces: calibrated probabilities, N×labels."""
    classifier = TorchClassifier(folder)
    return softmax(classifier.logits(list(FACES)), classifier.info.temperature * temperature)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than training here."""
    monkeypatch.setattr(start, "draw", lambda *_: None)
    monkeypatch.setattr(figures, "draw_run", lambda *_: None)
    monkeypatch.setattr(figures, "draw_model", lambda *_: None)
    monkeypatch.setattr(pictures, "draw_pictures", lambda *_: None)


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("other", [{}, {"side": 80}, {"side": 32}, {"channels": 1, "norm": 0.3}])
def test_a_teacher_says_what_its_own_classifier_says(tmp_path: Path, other: dict[str, Any], temperature: float) -> None:
    folder = made(tmp_path / "teacher", **other)
    said = teacher.Teacher([folder], LEARNER, CPU, temperature)(inputs()).numpy()
    wanted = own_scores(folder, temperature)
    assert said == pytest.approx(wanted, abs=0.04 if other.get("side") else 1e-5)  # PIL rounds what it resized
    assert np.ptp(wanted, axis=0).max() > 0.1  # it tells faces apart


@pytest.mark.parametrize(
    "learner", [InputSpec((48, 48), 1, (0.2,), (0.7,)), InputSpec((96, 96), 3, (0.5,) * 3, (0.5,) * 3)]
)
def test_the_learners_own_input_does_not_change_it(tmp_path: Path, learner: InputSpec) -> None:
    folder = made(tmp_path / "teacher", side=96)
    said = teacher.Teacher([folder], learner, CPU, 1.0)(inputs(learner)).numpy()
    assert said == pytest.approx(own_scores(folder), abs=0.02)


def test_of_several_teachers_the_mean_counts(tmp_path: Path) -> None:
    folders = [made(tmp_path / "a"), made(tmp_path / "b", seed=1, norm=0.3)]
    said = teacher.Teacher(folders, LEARNER, CPU, 1.0)(inputs()).numpy()
    one, two = map(own_scores, folders)
    assert said == pytest.approx((one + two) / 2, abs=1e-5)
    assert np.abs(one - two).max() > 0.1


@pytest.mark.parametrize(
    ("run", "own", "rounds"),
    [("no", None, False), ("bf16", None, True), ("no", "bf16", True), ("bf16", "no", False)],
)
def test_a_teacher_computes_in_its_own_precision_or_else_in_the_runs(
    tmp_path: Path, run: str, own: str | None, rounds: bool
) -> None:
    folder = made(tmp_path / "teacher")
    config = RunConfig(tmp_path, teacher=(folder,), precision=run, teacher_precision=own)  # type: ignore[arg-type]
    said = teacher.Teacher.of(config, LEARNER, CPU)(inputs()).numpy()
    off = np.abs(said - own_scores(folder, config.teacher_temperature)).max()
    assert (1e-4 < off < 0.1) if rounds else off < 1e-5


# ── what is minimised ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_divergence_is_that_of_hinton(temperature: float) -> None:
    logits, taught = np.random.default_rng(0).normal(0, 2, (2, 5, 7))
    p, q = softmax(taught / temperature), softmax(logits / temperature)
    wanted = temperature**2 * np.mean(np.sum(p * np.log(p / q), axis=1))
    found = teacher.divergence(torch.from_numpy(logits), torch.from_numpy(p), temperature)
    assert float(found) == pytest.approx(wanted, rel=1e-5)
    same = teacher.divergence(torch.from_numpy(taught), torch.from_numpy(p), temperature)
    assert float(same) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_step_takes_its_share_of_both_losses(toy_csv: Path, tmp_path: Path, share: float) -> None:
    folder = made(tmp_path / "teacher")
    config = toy_config(
        tmp_path / "run", toy_csv, teacher=(folder,), teacher_share=share, teacher_temperature=1.0, drop_rate=0.0
    )
    trainer = loop.Trainer(config, data.load(config.protocol, toy_csv), Accelerator())
    rows = torch.arange(32)
    images, targets, _ = trainer.batches(0, 0, rows)
    trainer.model.train()
    logits = trainer.model(images).detach().double()
    taught = trainer.teacher(images).double() if trainer.teacher else torch.empty(0)
    log_q = logits.log_softmax(1)
    own = float(-(targets * log_q).sum(1).mean())
    kl = float((taught * (taught.log() - log_q)).sum(1).mean())
    found = float(trainer._step(0, 0, rows))
    assert found == pytest.approx((1 - share) * own + share * kl, rel=1e-4)
    assert abs(own - kl) > 0.01


def test_the_teachers_weights_stay_as_they_are(toy_csv: Path, tmp_path: Path, quick: None) -> None:
    folder = made(tmp_path / "teacher")
    config = toy_config(tmp_path / "run", toy_csv, teacher=(folder,), epochs=1, trial=True)
    trainer = loop.Trainer(config, data.load(config.protocol, toy_csv), Accelerator())
    config.out.mkdir()
    trainer.run()
    assert trainer.teacher is not None
    saved = load_file(folder / "model.safetensors")
    assert all(torch.equal(weight, saved[name]) for name, weight in trainer.teacher.models[0].state_dict().items())


def test_what_is_taught_is_learnt(toy_csv: Path, tmp_path: Path, toy_model: Path, quick: None) -> None:
    same = {"teacher_share": 1.0, "trial": True, "epochs": 4, "augment": 0.0}
    config = toy_config(tmp_path / "run", toy_csv, teacher=(toy_model,), **same)
    loop.train(config)
    losses = [json.loads(line)["train_loss"] for line in (config.out / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.7 * losses[0]


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_broken_off_ends_the_same_and_takes_no_other_teacher(toy_csv: Path, tmp_path: Path, quick: None) -> None:
    folders = made(tmp_path / "a", side=32), made(tmp_path / "b", seed=1)
    changes = {"teacher": folders, "sam": 0.05, "trial": True, "epochs": 1, "drop_rate": 0.3, "mixup": 0.4}
    whole = toy_config(tmp_path / "whole", toy_csv, **changes)
    loop.train(whole)
    broken = dataclasses.replace(whole, out=tmp_path / "broken")
    for _ in range(2):
        with pytest.raises(Interrupted):
            loop.train(broken, deadline=time.monotonic())
    for other in ((folders[0],), folders[::-1], ()):
        with pytest.raises(RunError, match="other values for teacher"):
            loop.train(dataclasses.replace(broken, teacher=other))
    shutil.move(folders[1], tmp_path / "kept")
    made(tmp_path / "b", seed=2)
    with pytest.raises(RunError, match="whose teacher had other weights"):
        loop.train(broken)
    shutil.rmtree(folders[1])
    shutil.move(tmp_path / "kept", folders[1])
    loop.train(broken)
    assert (broken.out / "best.safetensors").read_bytes() == (whole.out / "best.safetensors").read_bytes()


# ── what is refused, and what is said ────────────────────────────────────────────────────────────────────────────────


def test_a_teacher_of_other_labels_is_refused_before_anything_is_written(
    toy_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = made(tmp_path / "teacher", labels=SEVEN[::-1])
    given = ["--data", str(toy_csv), "--protocol", "as-given", "--teacher", str(turned)]
    assert main(["run", "--out", str(tmp_path / "run"), *given]) == 2
    said = capsys.readouterr().err
    assert f"error: --teacher {turned} names {', '.join(SEVEN[::-1])}; the data {', '.join(SEVEN)}." in said
    assert not (tmp_path / "run").exists()


def test_an_ensemble_and_what_is_no_model_are_refused(tmp_path: Path) -> None:
    whole = ensemble(tmp_path / "whole", ["./a"])
    with pytest.raises(ValueError, match=r"whole is an ensemble\. Give each of its members as a --teacher"):
        teacher.folders_of(RunConfig(out=tmp_path / "run", teacher=(whole,)))
    with pytest.raises(ValueError, match=r"There is no model in .*nothing"):
        teacher.folders_of(RunConfig(out=tmp_path / "run", teacher=(tmp_path / "nothing",)))


def test_a_run_its_model_folder_and_a_name_of_the_zoo_are_teachers(toy_run: Path) -> None:
    given = (toy_run, toy_run / "model", Path("fer-lite0"))
    config = RunConfig(out=Path("run"), teacher=given)
    assert [folder.name for folder in teacher.folders_of(config)] == ["model", "model", "fer-lite0"]
    assert to_json(config)["teacher"] == ["toy", "toy", "fer-lite0"]


@pytest.mark.parametrize(
    ("path", "name"),
    [("/w/runs/a/model", "a"), ("/w/runs/a", "a"), ("fer-lite0", "fer-lite0"), ("fer_hub/zoo/fer-lite0/", "fer-lite0")],
)
def test_a_model_is_named_without_its_place(path: str, name: str) -> None:
    assert model_name(Path(path)) == name


@pytest.mark.parametrize(
    ("field", "value"),
    [("teacher_share", -0.1), ("teacher_share", 1.1), ("teacher_temperature", 0.0), ("teacher_temperature", -2.0)],
)
def test_values_that_none_can_have_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"Out of range: --{field.replace('_', '-')} {value}"):
        RunConfig(out=Path("run"), **{field: value})  # type: ignore[arg-type]


def test_a_preset_can_be_given_teachers() -> None:
    assert assignments(["teacher=fer-lite0,runs/b"]) == {"teacher": (Path("fer-lite0"), Path("runs/b"))}


def test_the_command_that_a_card_names_gives_the_same_run(tmp_path: Path) -> None:
    run = to_json(RunConfig(out=tmp_path, teacher=(Path("fer-lite0"), Path("/x/runs/my run/model")), trial=True))
    command = card_data.command(run, "mine").replace("\\\n", "")
    words = shlex.split(command.removeprefix("python -m train run"))
    config = tyro.cli(RunConfig, args=words, config=(tyro.conf.OmitArgPrefixes,))
    assert config.teacher == (Path("fer-lite0"), Path("runs/my run"))
    assert to_json(config) == run
    plain = card_data.command(to_json(RunConfig(out=tmp_path)), "mine")
    assert "--teacher " not in plain


def test_the_result_and_the_card_name_the_teachers_and_what_they_may_have_seen(
    toy_csv: Path, tmp_path: Path, toy_run: Path, capsys: pytest.CaptureFixture[str], quick: None
) -> None:
    model = json.loads((toy_run / "result.json").read_text())
    own = {"protocol": "official", "dataset": model["dataset"], "metrics": {"validation": {"accuracy": 0.625}}}
    stranger = made(tmp_path / "stranger", **own)
    config = toy_config(tmp_path / "run", toy_csv, teacher=(toy_run, stranger), sam=0.05, epochs=1)
    result = loop.train(config)
    first, second = result["teacher"]
    assert first["beware"] is None
    assert (first["name"], first["protocol"]) == ("toy", "as-given")
    assert first["validation_accuracy"] == model["validation"]["accuracy"]
    assert second | {"sha256": ""} == {
        "name": "stranger",
        "sha256": "",
        "protocol": "official",
        "validation_accuracy": 0.625,
        "beware": "was trained under official, not as-given: it knows some of these rows.",
    }
    assert all(re.fullmatch("[0-9a-f]{64}", each["sha256"]) for each in result["teacher"])
    warned = [line for line in capsys.readouterr().err.splitlines() if "teacher" in line]
    assert len(warned) == 1
    assert warned[0].startswith("warning: The teacher stranger was trained under official")
    card = (config.out / "model" / "README.md").read_text()
    assert "| distilled from | `toy` (protocol `as-given`" in card
    assert "`stranger` (protocol `official`, 62.50 % on its validation split)" in card
    assert "| beware | the teacher `stranger` was trained under official, not as-given" in card
    assert "beware | the teacher `toy`" not in card
    assert "sharpness-aware, radius 0.05" in card
    assert str(tmp_path) not in json.dumps(result)


def test_a_card_without_a_teacher_says_nothing_of_one(toy_model: Path) -> None:
    card = cards.model_card(toy_model)
    assert "distilled" not in card
    assert "sharpness" not in card


OWN = {"protocol": "official", "dataset": "fer2013"}
BEFORE = {"config": {"protocol": "random-80-20"}}


@pytest.mark.parametrize(
    ("trained", "protocol", "said"),
    [
        ({"protocol": "official", "dataset": "fer2013"}, "official", None),
        ({"protocol": "official-clean", "dataset": "fer2013"}, "official", None),
        ({"protocol": "ferplus", "dataset": "ferplus"}, "official", None),
        ({"protocol": "random-80-20", "dataset": "fer2013"}, "official", "it knows some of these rows"),
        ({"protocol": "official", "dataset": "fer2013"}, "folders", "it knows some of these rows"),
        ({"protocol": "folders", "dataset": "fer2013"}, "official", None),
        ({"protocol": "folders", "dataset": "fer2013"}, "random-80-20", "it knows some of these rows"),
        ({"protocol": "folders", "dataset": "another"}, "official", None),
        ({"protocol": "as-given", "dataset": "fer2013", "data": "1"}, "as-given", None),
        ({"protocol": "as-given", "dataset": "fer2013", "data": "2"}, "as-given", "may be among its own"),
        ({}, "official", "does not say which rows"),
        (OWN | {"parent": {"config": {"protocol": "ferplus"}}}, "official", None),
        (OWN | {"parent": BEFORE}, "official", "began with the weights of a run that was trained under random-80-20"),
        (OWN | {"parent": OWN | {"config": OWN, "parent": BEFORE}}, "official", "that began with the weights of a run"),
        (OWN | {"parent": BEFORE | {"dataset": "another"}}, "official", None),
        (OWN | {"teacher": [{"name": "t", "beware": None}]}, "official", None),
        (OWN | {"teacher": [{"name": "t", "beware": "was nosy."}]}, "official", "learned from t, which was nosy."),
        (OWN | {"dataset": "another", "teacher": [{"name": "t", "beware": "was nosy."}]}, "official", None),
    ],
)
def test_what_a_model_may_know_of_the_rows_that_are_scored(
    trained: dict[str, Any], protocol: str, said: str | None
) -> None:
    found = leaks.knows(trained, SimpleNamespace(dataset="fer2013", digest="1"), protocol)  # type: ignore[arg-type]
    assert (found is None) if said is None else (said in str(found))
