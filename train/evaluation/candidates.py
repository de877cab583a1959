"""The models of a report: loaded, named, and asked once for every face of the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer_hub.classifier import RUNTIMES, Classifier, Network, load_classifier, softmax
from fer_hub.ensemble import SMALLEST, Ensemble
from fer_hub.relabel import Relabelled, maps_in, together
from fer_hub.types import ModelError, ModelInfo
from fer_hub.views import count_views

from .. import finished, leaks
from ..calibrate import Calibration
from ..card_data import names_of
from ..data import PROTOCOLS, Data, Split
from ..metrics import Floats

CHUNK = 128
"""Faces that are asked for between two steps of the bar."""
LEAST = float(np.log(SMALLEST))
"""Logits of labels that a model does not know are raised to it, so that they can be scored."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A model of the report, and its answers."""

    name: str
    """In the report: no other has it."""
    sources: tuple[str, ...]
    runtime: str
    variant: str
    classifier: Classifier
    """As it is scored: its views averaged, in the labels of the data."""
    logits: dict[str, Floats] = field(default_factory=dict)
    """N×C by split, in the order of the data's labels, not divided by the temperature."""

    @property
    def temperature(self) -> float:
        """What the logits are divided by before the softmax."""
        return self.classifier.info.temperature

    def probabilities(self, split: str) -> NDArray[np.float64]:
        """N×C calibrated probabilities of a split that was asked for."""
        return softmax(self.logits[split], self.temperature)

    @property
    def folded(self) -> Mapping[str, Any] | None:
        """The calibration that a single network's last layer holds, as its config says it; None where it holds none."""
        found = self.classifier.info.fer.get("calibration") or {}
        return found if isinstance(self.classifier, Network) and found.get("folded") else None

    @property
    def calibrated(self) -> str:
        """How its probabilities were calibrated, in words."""
        whole = f"temperature {self.temperature:.4f}"
        if not isinstance(self.classifier, Network):
            own = "its own, before its answers were averaged or mapped"
            return own if self.temperature == 1 else f"{own}; of the whole, {whole}"
        if self.folded is None:
            return whole
        return f"{Calibration.from_json(self.folded).words}, in the last layer"

    def uncalibrated(self, split: str) -> Floats | None:
        """N×C logits as they were before calibration, also where that is folded; None where there are none."""
        if self.folded is not None:
            return Calibration.from_json(self.folded).undo(self.logits[split])
        single = isinstance(self.classifier, Network)
        return self.logits[split] if single or self.temperature != 1 else None

    @property
    def maps(self) -> list[dict[str, Any]]:
        """What is lost where the model's labels are not those of the data: {model, given, wanted, lost, undefined}."""
        return [
            {"model": name, "given": list(m.given), "wanted": list(m.wanted), "lost": list(m.lost)}
            | {"undefined": list(m.undefined), "sentence": m.sentence()}
            for name, m in maps_in(self.classifier)
        ]


def opened(sources: Sequence[str], runtime: str, variant: str) -> list[Classifier]:
    """The models as they are.

    Raises:
        ModelError: One is not to be had.
    """
    return [load_classifier(place_of(source), runtime=runtime, variant=variant) for source in sources]


def load(
    sources: Sequence[str],
    loaded: Sequence[Classifier],
    runtime: str,
    variant: str,
    views: str,
    labels: Sequence[str],
    ensemble: bool,
) -> list[Candidate]:
    """The opened models as they are scored, and, where that was asked for, all of them as one.

    Raises:
        ModelError: They do not fit together.
        ValueError: Nothing to put together, or an option is unknown.
    """
    if ensemble and len(sources) < 2:
        raise ValueError("--ensemble puts models together, but only one is named. Name two or more.")
    found: list[Candidate] = []
    for source, model in zip(sources, loaded, strict=True):
        name = free(_title(source, model, views), [other.name for other in found])
        found.append(Candidate(name, (source,), runtime, variant, together([model], views, labels)))
    if ensemble:
        whole = together(loaded, views, labels)
        found.append(Candidate(f"ensemble of {len(loaded)}", tuple(sources), runtime, variant, whole))
    return found


def own_protocol(info: ModelInfo) -> str:
    """The protocol that a model was trained under; "official" where it does not say one that is known here."""
    named = info.fer.get("protocol")
    return named if named in PROTOCOLS else "official"


def place_of(source: str) -> str:
    """Where a model is loaded from: of a run's folder its model, anything else as it is."""
    folder = Path(source)
    of_a_run = (folder / "model").is_dir() or (folder / "result.json").is_file()
    return str(finished.model_folder(folder)) if of_a_run else source


def _title(source: str, model: Classifier, views: str) -> str:
    info = model.info
    name = names_of(info.path, None).title if Path(source).is_dir() else info.name
    return name if views == "none" else f"{name} ({views})"


def free(name: str, taken: Sequence[str]) -> str:
    """The name, with a number where another model has it."""
    number = 1 + sum(other == name or other.startswith(f"{name} #") for other in taken)
    return name if number == 1 else f"{name} #{number}"


def ask(candidate: Candidate, name: str, split: Split, parts: Sequence[Candidate] = ()) -> None:
    """Ask a model for every face of a split, with a bar; what is known already is not asked again.

    Args:
        candidate: The model; what it says is kept in it.
        name: Of the split.
        split: Its rows.
        parts: Of an ensemble of models that were asked already: these, whose mean it is.
    """
    if name in candidate.logits:
        return
    if parts:
        mean = np.mean([part.probabilities(name) for part in parts], axis=0)
        candidate.logits[name] = np.log(mean.clip(SMALLEST)).astype(np.float32)
    else:
        candidate.logits[name] = logits_of(candidate.classifier, split, f"{candidate.name}, {name}")


def logits_of(classifier: Classifier, split: Split, what: str) -> Floats:
    """N×C logits of a split, all of them finite where the model's are."""
    parts = []
    with tqdm(total=len(split), desc=what, unit="img", leave=False, disable=None) as bar:
        for start in range(0, len(split), CHUNK):
            parts.append(classifier.logits(split.images[start : start + CHUNK]))
            bar.update(len(parts[-1]))
    found = np.concatenate(parts)
    found[np.isneginf(found)] = LEAST
    return found


def agreement(candidate: Candidate, name: str, split: Split, views: str) -> dict[str, Any]:
    """How far another run time of the same files agrees on a split; {why} where it has none."""
    other = next(runtime for runtime in RUNTIMES if runtime != candidate.runtime)
    try:
        models = [load_classifier(place_of(source), runtime=other) for source in candidate.sources]
    except (ModelError, ValueError) as error:
        return {"runtime": other, "why": str(error)}
    whole = together(models, views, candidate.classifier.info.labels)
    found = logits_of(whole, split, f"{candidate.name}, {other}")
    ours, theirs = candidate.probabilities(name), softmax(found, whole.info.temperature)
    return {
        "runtime": other,
        "same_label": int((ours.argmax(1) == theirs.argmax(1)).sum()),
        "n": len(split),
        "logits": float(np.abs(found - candidate.logits[name]).max()),
        "probabilities": float(np.abs(ours - theirs).max()),
    }


def sentence(agreed: dict[str, Any]) -> str:
    """How far two run times agree, in words."""
    if "why" in agreed:
        return f"not compared with {agreed['runtime']}: {agreed['why']}"
    return (
        f"{agreed['runtime']} gives the same label on {agreed['same_label']} of {agreed['n']}; "
        f"logits differ by at most {agreed['logits']:.1e}, probabilities by {agreed['probabilities']:.1e}"
    )


def members(classifier: Any) -> list[Network]:
    """The single networks that are asked."""
    if isinstance(classifier, Relabelled):
        return members(classifier.classifier)
    if isinstance(classifier, Ensemble):
        return [network for member in classifier.members for network in members(member)]
    return [classifier]


def views_of(classifier: Any) -> int:
    """How many views of a face are averaged."""
    if isinstance(classifier, Relabelled):
        return views_of(classifier.classifier)
    if isinstance(classifier, Ensemble):
        return count_views(classifier.views) * max(views_of(member) for member in classifier.members)
    return 1


def size_of(classifier: Classifier) -> int:
    """Bytes of the files that are used."""
    return sum(file.stat().st_size for file in {network.file for network in members(classifier)})


def parameters_of(classifier: Classifier) -> int | None:
    """Weights of all networks, as their results say; None where one does not."""
    counts = [finished.result_of(network.info.path).get("parameters") for network in members(classifier)]
    return None if None in counts else sum(counts)


# ── whether the rows are fresh to them ───────────────────────────────────────────────────────────────────────────────


def alignments(found: Sequence[Candidate]) -> set[tuple[str, str]]:
    """How the faces were aligned that the networks learned from, and what became of images without one.

    Modes of train.align, and of train.data.ON_MISSING.
    """
    infos = [network.info for each in found for network in members(each.classifier)]
    runs = [finished.result_of(info.path).get("config", {}) for info in infos]
    return {
        (run.get("align") or info.alignment, run.get("on_missing") or "keep")
        for info, run in zip(infos, runs, strict=True)
    }


def known_rows(found: Sequence[Candidate], splits: Data, protocol: str) -> list[str]:
    """Sentences on networks that may have learned from rows of any split but train: none where all is well."""
    sentences = []
    for network in (network for each in found for network in members(each.classifier)):
        trained = leaks.account(network.info.fer, finished.result_of(network.info.path))
        known = leaks.knows(trained, splits, protocol)
        if known:
            sentences.append(f"{names_of(network.info.path, None).title} {known}")
    return list(dict.fromkeys(sentences))
