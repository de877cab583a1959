"""Models side by side: their answers on the same faces, and what is known of them."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..comparison import Answer, Comparison
from ..labels import UNCERTAIN, color_of_label, display
from ..languages import number, percent, say
from ..listing import dataset_of, figures_of
from ..types import Prediction
from .parts import accuracy, bar, face_name, said, swatch

AVERAGE = "fer-average"
"""Class of the cells of the last column, apart from those of the models."""


def comparison_table(
    comparison: Comparison,
    language: str = "en",
    least: float = 0.0,
    *,
    names: Sequence[str] = (),
) -> str:
    """Labels × models: each model's probabilities of each face, under what is known of the model.

    The average, where there is one, is the last column; it has no part in how far the models agree.

    Args:
        comparison: The answers of the models.
        language: Of the names and numbers.
        least: Below this confidence, 0 to 1, a model's answer is called uncertain.
        names: Of the faces, where they are not "Face 1", "Face 2", ….
    """
    answers = comparison.answers
    if not answers:
        return said(say("compare.none", language))
    faces = enumerate(comparison.faces, 1)
    titles = list(names) or [face_name(number, language, face is None) for number, face in faces]
    rows = "".join(_face_rows(comparison, face, titles[face], language, least) for face in range(len(titles)))
    detection = say("compare.detection", language, ms=number(1000 * comparison.detection_seconds, 0, language))
    nobody = "" if titles else said(say("image.none", language))
    label = html.escape(say("compare.table", language))
    head = "".join(f'<th scope="col">{html.escape(answer.name)}</th>' for answer in answers)
    if comparison.average:
        head += f'<th scope="col" class="{AVERAGE}">{html.escape(say("compare.ensemble", language))}</th>'
    return (
        f"{nobody}{_failures(answers, language)}{_average_note(comparison, language)}"
        f'<div class="fer-scroll" role="region" tabindex="0" aria-label="{label}">'
        f'<table class="fer-compare"><caption><span>{label}. {html.escape(detection)}.</span></caption>'
        f'<thead><tr><th scope="col">{html.escape(say("model", language))}</th>{head}</tr></thead>'
        f"<tbody>{_fact_rows(comparison, language)}</tbody>{rows}</table></div>"
    )


def _failures(answers: Sequence[Answer], language: str) -> str:
    """A sentence for each model that gave no answer."""
    sentences = [say("compare.failed", language, name=each.name, error=each.error) for each in answers if each.error]
    return "".join(said(sentence) for sentence in sentences)


def _average_note(comparison: Comparison, language: str) -> str:
    """Which labels the average lacks, or why there is none, where one was asked for."""
    if comparison.average:
        known = comparison.average.info.labels
        lost = dict.fromkeys(label for each in comparison.answered for label in each.info.labels if label not in known)
        names = ", ".join(display(label, language) for label in lost)
        words = say("compare.ensemble_lost", language, labels=names) if lost else ""
    elif comparison.average_error:
        few = len(comparison.answered) < 2
        words = say("compare.ensemble_few" if few else "compare.ensemble_apart", language)
    else:
        words = ""
    return said(words) if words else ""


def _fact_rows(comparison: Comparison, language: str) -> str:
    """Accuracy, latency and file size; a row of which nothing is known is left out."""
    facts: dict[str, Callable[[Answer], str]] = {
        "compare.accuracy": lambda answer: accuracy(figures_of(answer.info), dataset_of(answer.info), 2, language),
        "compare.latency": lambda answer: "" if answer.error else f"{number(1000 * answer.seconds, 1, language)} ms",
        "compare.size": lambda answer: _stated(answer.megabytes, lambda size: f"{number(size, 1, language)} MB"),
    }
    rows = []
    for key, tell in facts.items():
        texts = [tell(answer) for answer in comparison.answers]
        if any(texts):
            cells = [_cell(html.escape(text)) for text in texts]
            if comparison.average:
                cells.append(_cell(html.escape(tell(comparison.average)), AVERAGE))
            rows.append(_row(say(key, language), cells))
    return "".join(rows)


def _face_rows(comparison: Comparison, face: int, name: str, language: str, least: float) -> str:
    """The rows of one face, under a line that says how far the models agree."""
    given = [None if answer.error else answer.predictions[face] for answer in comparison.answers]
    mean = comparison.average.predictions[face] if comparison.average else None
    labels = dict.fromkeys(label for each in given if each for label in each.scores)
    rows = "".join(
        _row(
            f'<span class="fer-word">{swatch(color_of_label(label))}{html.escape(display(label, language))}</span>',
            [_score_cell(each, label, language, least) for each in given]
            + ([_score_cell(mean, label, language, least, AVERAGE)] if mean else []),
            escaped=True,
        )
        for label in labels
    )
    heading = html.escape(name)
    if votes := agreement(comparison, face, language):
        heading += f' <span class="fer-votes">{html.escape(votes)}</span>'
    span = (
        f'<th scope="rowgroup" colspan="{len(given) + (2 if mean else 1)}"><span class="fer-stay">{heading}</span></th>'
    )
    return f'<tbody><tr class="fer-group">{span}</tr>{rows}</tbody>'


def agreement(comparison: Comparison, face: int, language: str) -> str:
    """How many models say what most of them say of a face, as plain text; "" of fewer than two models."""
    majority = comparison.majority(face)
    if majority is None or len(comparison.answered) < 2:
        return ""
    values = {"agreeing": comparison.votes(face)[majority], "count": len(comparison.answered)}
    return say("compare.agreement_of", language, label=display(majority, language), **values)


def _score_cell(prediction: Prediction | None, label: str, language: str, least: float, kind: str = "") -> str:
    """A probability; the model's highest one is bold, framed, and said to be the highest, or uncertain."""
    if prediction is None or label not in prediction.scores:
        return _cell("", kind)
    score = prediction.scores[label]
    shown = f"<span>{percent(score, 1, language)}</span>{bar(label, score)}"
    if label != prediction.label:
        return _cell(shown, f"fer-score {kind}")
    uncertain = prediction.confidence < least
    word = html.escape(say("uncertain" if uncertain else "compare.most", language))
    mark = (
        f'<small style="border-color:{UNCERTAIN}">{word}</small>'
        if uncertain
        else f'<span class="fer-hidden">{word}</span>'
    )
    return _cell(shown + mark, f"fer-score fer-highest {kind}")


def leaderboard(rows: Sequence[Mapping[str, Any]], language: str = "en") -> str:
    """What is known of the available models, one row each; a cell is empty where a model's files do not state it.

    Args:
        rows: As `fer_hub.listing.describe` gives them; where it was measured, with ``latency_ms``, the median of
            ``latency_n`` calls with a face in milliseconds. Of a model that cannot be described ``{name, error}``,
            the error as a sentence.
        language: Of the names and numbers.
    """
    keys = ("name", "network", "input", "accuracy", "f1", "worst", "ece", "size", "latency")
    head = "".join(f'<th scope="col">{html.escape(say(f"models.{key}", language))}</th>' for key in keys)
    body = "".join(_row(str(row["name"]), _board_cells(row, len(keys) - 1, language)) for row in rows)
    label = html.escape(say("models.board", language))
    return (
        f'<div class="fer-scroll" role="region" tabindex="0" aria-label="{label}"><table class="fer-board">'
        f"<caption><span>{html.escape(say('models.note', language))}</span></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{_measured(rows, language)}"
    )


def _measured(rows: Sequence[Mapping[str, Any]], language: str) -> str:
    """How the latencies were measured, where there are any."""
    calls = [row.get("latency_n") or 1 for row in rows if row.get("latency_ms") is not None]
    if not calls:
        return ""
    words = say("models.measured", language, n=number(min(calls), 0, language))
    return f'<p class="fer-none">{html.escape(words)}</p>'


def _board_cells(row: Mapping[str, Any], columns: int, language: str) -> list[str]:
    if row.get("error"):
        return [f'<td colspan="{columns}">{html.escape(str(row["error"]))}</td>']
    return [_cell(html.escape(text)) for text in _facts(row, language)]


def _facts(row: Mapping[str, Any], language: str) -> list[str]:
    """The cells of a model's row after its name, as plain text; "" where nothing is stated."""
    _, height, width = row["input"]
    return [
        row["architecture"],
        f"{width}×{height}",
        accuracy(row, row.get("dataset"), 2, language),
        _stated(row.get("macro_f1"), lambda v: number(v, 3, language)),
        _worst(row.get("worst"), language),
        _stated(row.get("ece"), lambda v: number(v, 3, language)),
        _stated((row.get("onnx_mb") or {}).get("fp32"), lambda v: number(v, 2, language)),
        _stated(row.get("latency_ms"), lambda v: number(v, 2, language)),
    ]


def _stated(value: Any, write: Callable[[Any], str]) -> str:
    return "" if value is None else write(value)


def _worst(worst: Any, language: str) -> str:
    """A label and its recall."""
    if not worst:
        return ""
    return f"{display(worst['label'], language)} {percent(worst['recall'], 1, language)}"


def _cell(content: str, kind: str = "") -> str:
    """A cell of HTML and of these classes; a dash where there is nothing to show."""
    names = f' class="{kind.strip()}"' if kind else ""
    return f"<td{names}>{content or '–'}</td>"


def _row(name: str, cells: Sequence[str], escaped: bool = False) -> str:
    return f'<tr><th scope="row">{name if escaped else html.escape(name)}</th>{"".join(cells)}</tr>'
