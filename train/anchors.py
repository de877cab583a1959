"""The field's figures that ours are measured by, each with its protocol: a table and a drawing."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fer_hub.hub import ZOO, zoo_models

from . import cards, ensemble_card, leaks, records
from .card_data import recipe
from .cards import TEMPLATES
from .config import completed
from .data import PROTOCOLS
from .deviations import LEARNED
from .leaderboard import BOARDS
from .run_folder import write_bytes
from .splits import CHALLENGE

ANCHORS, PAGE, PICTURE = TEMPLATES / "anchors.toml", TEMPLATES / "records.md", BOARDS / "records.png"
KINDS = ("single", "ensemble")
HERE, THERE = "#0072B2", "#BBBBBB"


class Candidate(NamedTuple):
    """A recorded result, of the zoo or of a run."""

    name: str
    link: str
    """Of its file, from model_cards/."""
    result: dict[str, Any]

    @property
    def kind(self) -> str:
        """Of KINDS: several views of one model are a single model."""
        return KINDS[len(self.result.get("members") or ()) > 1]

    @property
    def about(self) -> str:
        """Network and input, views, and what it learned from."""
        config = completed(self.result["config"])
        taught = [f"distilled from {' and '.join(config['teacher'])}"] if config["teacher"] else []
        members = self.result.get("members") or ()
        if not members:
            words = [f"{config['backbone']}, {config['image_size']}×{config['image_size']}"]
        elif self.kind == "ensemble":
            words = [f"{len(members)} models: {', '.join(_member(each, config['protocol']) for each in members)}"]
        else:
            (one,) = members
            words = [f"{one['name']}, {one['architecture']}, {one['size'][1]}×{one['size'][0]}"]
        views = config.get("views", "none")
        words.append("one view" if views == "none" else f"views: {views}")
        return "; ".join([*words, *LEARNED.get(config["targets"], ()), *taught])


def _member(each: Mapping[str, Any], protocol: str) -> str:
    """Its name, and its own protocol where that is another one."""
    own = each.get("protocol", protocol)  # of older ensembles all are of one
    return each["name"] if own == protocol else f"{each['name']} (learned under {own})"


def write() -> list[Path]:
    """Write the page and its drawing."""
    rows = rows_of(candidates())
    write_bytes(PAGE, page(rows).encode())
    draw(rows, PICTURE)
    return [PAGE, PICTURE]


def read() -> dict[str, Any]:
    """The anchors and what is said of them, as anchors.toml holds them; shares from 0 to 1."""
    return tomllib.loads(ANCHORS.read_text(encoding="utf-8"))


def candidates(results: Path | None = None) -> list[Candidate]:
    """The zoo's models and all recorded results but trials.

    Args:
        results: Folder of the groups of records; None: the project's own.
    """
    found = [
        Candidate(name, f"../fer_hub/zoo/{name}/metrics.json", cards.read_result(ZOO / name)) for name in zoo_models()
    ]
    for group in records.GROUPS:
        if group != records.TRIALS:
            own = records.scored(group, results).items()
            found += [Candidate(name, f"results/{group}/{name}.json", result) for name, result in own]
    return found


def outside(results: Path | None = None) -> list[Candidate]:
    """Recorded results that belong to no preset and were scored on PrivateTest: runs, ensembles, averages of views."""
    found = records.scored(records.OTHERS, results).items()
    own = [Candidate(name, f"results/{records.OTHERS}/{name}.json", result) for name, result in found]
    own = [each for each in own if each.result["config"]["protocol"] in CHALLENGE]
    return [each for each in own if not leaks.doubtful(each.result)]


def best(found: Sequence[Candidate], query: Mapping[str, Any]) -> Candidate | None:
    """Of the results under a protocol the best on validation: test results choose nothing.

    Those that began with weights, or had a teacher, that may have learnt from rows of the test split do not count.

    Args:
        found: From `candidates`.
        query: {"protocol": names of PROTOCOLS that share a test set, "kind": of KINDS, or absent for any}.

    Raises:
        ValueError: The query names no known protocol or kind.
    """
    unknown = [name for name in query["protocol"] if name not in PROTOCOLS]
    if unknown or query.get("kind", KINDS[0]) not in KINDS:
        raise ValueError(f"{dict(query)}: protocols are {', '.join(PROTOCOLS)}; kinds are {', '.join(KINDS)}.")
    mine = [each for each in found if each.result["config"]["protocol"] in query["protocol"]]
    mine = [each for each in mine if each.kind == query.get("kind", each.kind)]
    mine = [each for each in mine if not leaks.doubtful(each.result)]
    return max(mine, key=lambda each: each.result["validation"]["accuracy"], default=None)


def rows_of(found: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Every anchor, with our result beside it and whether that reaches it."""
    rows = []
    for anchor in read()["anchors"]:
        ours = best(found, anchor["query"])
        rows.append({**anchor, "ours": ours, "reached": reached(anchor["figure"], ours) if ours else None})
    return rows


def reached(figure: float, ours: Candidate) -> str:
    """Whether our test accuracy is at least this share."""
    test = ours.result["test"]
    if test["accuracy"] >= figure:
        return "yes"
    return "no, but within the interval" if test["accuracy_95"][1] >= figure else "no"


def page(rows: Sequence[dict[str, Any]], results: Path | None = None) -> str:
    """The page of the field's figures beside ours.

    Args:
        rows: From `rows_of`.
        results: Folder of the groups of records; None: the project's own.
    """
    given = read()
    panels = [(title, [row for row in rows if row["panel"] == key]) for key, title in given["panels"].items()]
    return cards.render(
        "records.md.j2",
        panels=panels,
        next=given["next"],
        doubtful=given["doubtful"],
        flags=given["flags"],
        merged=leaks.MERGED,
        disgust=leaks.DISGUST,
        sizes={name: each.sizes for name, each in PROTOCOLS.items()},
        outside=[(each, commands(each)) for each in outside(results)],
        picture=PICTURE.relative_to(TEMPLATES).as_posix(),
    )


def commands(each: Candidate) -> list[str]:
    """The shell commands that make a recorded result anew, the first one first."""
    run = each.result["config"]
    if "members" not in run:
        return [step["command"] for step in recipe(each.result, each.name)]
    models = [name if name in zoo_models() else f"runs/{name}" for name in run["members"]]
    return [ensemble_card.typed(models, run["weights"], run["views"], f"runs/{each.name}")]


# ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def bars(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The bars of a panel, the longest first: every anchor, and each of our results once."""
    found = [
        {"text": row["what"], "figure": row["figure"], "low": row.get("low"), "high": row.get("high"), "ours": False}
        for row in rows
    ]
    own = {each.link: each for row in rows if (each := row["ours"])}
    for each in own.values():
        test = each.result["test"]
        low, high = test["accuracy_95"]
        text = f"ours: {each.name} ({each.kind})"
        found.append({"text": text, "figure": test["accuracy"], "low": low, "high": high, "ours": True})
    return sorted(found, key=lambda bar: -bar["figure"])


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Horizontal bars, a panel for each test set: the field's in grey, ours in blue, intervals where they are known."""
    from . import figures  # imports matplotlib

    panels = [(title, bars([r for r in rows if r["panel"] == key])) for key, title in read()["panels"].items()]
    heights = [len(found) for _, found in panels]
    size = (9.0, 1.3 * len(panels) + 0.36 * sum(heights))
    figure, grid = figures.plot(*size, len(panels), 1, height_ratios=heights, sharex=True)
    for axes, (title, found) in zip(grid.flat, panels, strict=True):
        _panel(axes, title, found)
    grid.flat[-1].set_xlabel("accuracy on the test set (%); lines: 95 % interval, of people the range that is given")
    figures.save(figure, path)


def _panel(axes: Any, title: str, found: Sequence[dict[str, Any]]) -> None:
    texts, values = [bar["text"] for bar in found], [100 * bar["figure"] for bar in found]
    shades = [HERE if bar["ours"] else THERE for bar in found]
    axes.barh(range(len(found)), values, color=shades, edgecolor="#444444", linewidth=0.6)
    known = [(at, bar) for at, bar in enumerate(found) if bar["low"] is not None]
    lengths = [[100 * abs(bar["figure"] - bar[end]) for _, bar in known] for end in ("low", "high")]
    middles = [values[at] for at, _ in known]
    axes.errorbar(middles, [at for at, _ in known], xerr=lengths, fmt="none", ecolor="black", capsize=3)
    for at, (value, bar) in enumerate(zip(values, found, strict=True)):
        axes.text(1, at, f"{value:.2f}", va="center", fontsize=8, color="white" if bar["ours"] else "black")
    axes.set_yticks(range(len(found)), texts, fontsize=9)
    axes.set(title=title, xlim=(0, 100), ylim=(len(found) - 0.4, -0.6))
    axes.spines[["top", "right"]].set_visible(False)
