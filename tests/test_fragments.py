"""fer_hub.fragments: well formed, escaped, named for those who do not see it, and nothing from elsewhere."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from browser import launched
from html_tables import Tables
from PIL import Image as PILImage

from fer_hub import Face, Prediction, Recognizer
from fer_hub.comparison import Answer, Comparison, with_average
from fer_hub.explain import Explanation
from fer_hub.fragments import (
    CSV,
    comparison_aloud,
    comparison_table,
    data_uri,
    faces_aloud,
    faces_panel,
    heat_grid,
    jpeg_uri,
    leaderboard,
    maps_aloud,
    model_line,
    status_line,
)
from fer_hub.fragments.faces import LONGEST, LONGEST_DRAWN, faces_csv
from fer_hub.fragments.live import live_panel
from fer_hub.fragments.parts import bars, download_link, downloads
from fer_hub.image import read
from fer_hub.labels import COLORS, LABEL_SPACES
from fer_hub.languages import LANGUAGES
from fer_hub.listing import describe
from fer_hub.types import InputSpec, ModelInfo

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
VOID = {"img", "input", "br", "rect", "path"}
SEVEN, EIGHT = LABEL_SPACES["fer2013-7"], LABEL_SPACES["ferplus-8"]
EVIL = "<script>alert('x')</script>\"&"


class Page(HTMLParser):
    """All elements in order, each with its attributes and text; that every tag is closed is checked on the way."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"
        names = [attrs["id"] for _, attrs, _ in self.found if "id" in attrs]
        assert len(names) == len(set(names)), "an id occurs twice"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"an attribute of <{tag}> occurs twice"
        text: list[str] = []
        self.found.append((tag, dict(attrs), text))
        if tag not in VOID:
            self._open.append((tag, text))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1][0] == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for _, text in self._open:
            text.append(data)

    def of(self, tag: str, kind: str = "") -> list[dict[str, Any]]:
        """Elements by tag and class: their attributes, and their text as "text"."""
        return [
            attrs | {"text": "".join(text)}
            for name, attrs, text in self.found
            if name == tag and (not kind or kind in (attrs.get("class") or "").split())
        ]


def decoded(uri: str) -> tuple[str, bytes]:
    kind, _, data = uri.removeprefix("data:").partition(";base64,")
    return kind, base64.b64decode(data, validate=True)


def made(
    scores: Sequence[float], box: tuple[float, float, float, float] | None, labels: Sequence[str] = SEVEN
) -> Prediction:
    face = None
    if box is not None:
        x0, y0, x1, y1 = box
        points = np.array([[x0 + 3, y0 + 4], [x1 - 3, y0 + 4], [x0, y1], [x0 + 3, y1 - 4], [x1 - 3, y1 - 4]])
        face = Face(box, 0.98765, points.astype(np.float32))
    return Prediction.of(dict(zip(labels, scores, strict=True)), face)


def crowd(n: int) -> list[Prediction]:
    scores = np.random.default_rng(0).dirichlet(np.full(7, 0.4), n).tolist()
    return [
        made(row, (5 + 20 * (k % 10), 5 + 20 * (k // 10), 20 + 20 * (k % 10), 22 + 20 * (k // 10)))
        for k, row in enumerate(scores)
    ]


HAPPY = made([0.05, 0, 0.01, 0.894, 0.02, 0.006, 0.02], (20, 30, 90, 120))
UNSURE = made([0.3, 0, 0.1, 0.2, 0.25, 0.05, 0.1], (110, 10, 180, 90))
PICTURE = np.full((150, 200, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def astronaut() -> tuple[np.ndarray, list[Prediction]]:
    photo = read(PHOTO)
    return photo, Recognizer.from_pretrained()(photo)


def answer(
    name: str,
    predictions: Sequence[Prediction],
    error: str = "",
    test: dict[str, Any] | None = None,
    megabytes: float | None = None,
) -> Answer:
    labels = tuple(predictions[0].scores) if predictions else SEVEN
    spec = InputSpec((48, 48), 1, (0.5,), (0.5,))
    fer = {"metrics": {"test": test}} if test else {}
    info = ModelInfo(name, Path(name), "net", labels, spec, fer=fer)
    return Answer(name, info, tuple(predictions), 0.0125, error, megabytes)


def compared(*answers: Answer) -> Comparison:
    faces = next(tuple(p.face for p in each.predictions) for each in answers if not each.error)
    return Comparison((150, 200), faces, 0.0321, answers)


def explanation(label: str = "happy") -> Explanation:
    ramp = np.linspace(-1, 1, 64, dtype=np.float32)
    return Explanation("lime", label, 0.894, np.tile(ramp, (64, 1)), np.full((64, 64, 3), 99, np.uint8))


@lru_cache
def every_piece(language: str) -> dict[str, str]:
    """All pieces, with names that try to break out wherever a name is shown."""
    test = {"accuracy": 0.7055, "n": 3589}
    models = with_average(compared(answer(EVIL, [HAPPY], test=test), answer("b", [UNSURE]), answer("c", [], EVIL)))
    row = describe("fer-lite0")
    return {
        "bars": bars(HAPPY, language, 0.5),
        "faces": faces_panel(PICTURE, [HAPPY, UNSURE], language, 0.5),
        "whole": faces_panel(PICTURE, [made([1 / 7] * 7, None)], language),
        "nobody": faces_panel(PICTURE, [], language),
        "live": live_panel([(3, HAPPY), (12, UNSURE)], language, 0.5),
        "nobody live": live_panel([], language),
        "status": status_line(17.25, 41.6, 2, language),
        "compare": comparison_table(models, language, 0.5, names=[EVIL]),
        "board": leaderboard(
            [
                row | {"name": EVIL, "latency_ms": 1.13, "latency_n": 99},
                {"name": EVIL, "error": EVIL},
                {k: None for k in row} | {"name": "x", "architecture": EVIL, "input": [1, 48, 40]},
            ],
            language,
        ),
        "maps": heat_grid(
            {EVIL: PICTURE, "b": PICTURE[:9]},
            ("lime", "occlusion"),
            {EVIL: {"lime": explanation(), "occlusion": EVIL}, "b": {}},
            language,
        ),
        "maps aloud": maps_aloud({EVIL: {"lime": explanation(), "occlusion": EVIL}}, language),
        "link": downloads(download_link(EVIL, EVIL, b"x", "text/plain"), language),
    }


PIECES = sorted(every_piece("en"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("piece", PIECES)
def test_every_piece_is_well_formed_escapes_names_and_refers_to_nothing_outside(piece: str, language: str) -> None:
    text = every_piece(language)[piece]
    page = Page(text)
    assert not {tag for tag, _, _ in page.found} & {"script", "iframe", "link", "object"}
    assert "<script" not in text
    for _, attrs, _ in page.found:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "srcset", "action", "poster", "xlink:href"):
            assert (attrs.get(name) or "data:").startswith("data:")
    assert "url(" not in text and "@import" not in text and "http" not in text


@pytest.mark.parametrize("piece", ["compare", "board", "maps", "maps aloud", "link"])
def test_names_that_try_to_break_out_are_shown_as_they_are(piece: str) -> None:
    shown = [text for _, _, parts in Page(every_piece("en")[piece]).found if EVIL in (text := "".join(parts))]
    assert shown


@pytest.mark.parametrize("piece", PIECES)
def test_every_picture_has_an_alt_text_and_every_class_a_style(piece: str) -> None:
    styles = (ROOT / "fer_hub" / "assets" / "app.css").read_text(encoding="utf-8")
    page = Page(every_piece("en")[piece])
    assert all((each.get("alt") or "").strip() for each in page.of("img"))
    used = {name for _, attrs, _ in page.found for name in (attrs.get("class") or "").split()}
    unknown = {name for name in used if not re.search(rf"\.{name}\b", styles)}
    assert unknown <= {"fer-one", "fer-said"}  # one's rules come with the piece, the other is for announce.js


@pytest.mark.parametrize(
    "forbidden", [r"@container", r"@supports", r":is\([^)]*,", r":not\([^)]*,", "url\\(", "@import"]
)
def test_the_styles_hold_nothing_that_gradio_would_lose_or_that_is_fetched(forbidden: str) -> None:
    styles = (ROOT / "fer_hub" / "assets" / "app.css").read_text(encoding="utf-8")
    rules = re.sub(r"/\*.*?\*/", "", styles, flags=re.DOTALL)
    assert "{" in rules and not re.search(forbidden, rules)


def test_data_comes_back_from_its_address() -> None:
    assert decoded(data_uri(b"\x00\xff text", "text/plain")) == ("text/plain", b"\x00\xff text")


def test_a_jpeg_has_the_size_and_the_colours_of_the_image() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = (250, 20, 20)
    kind, data = decoded(jpeg_uri(image, 95))
    assert kind == "image/jpeg"
    back = np.asarray(PILImage.open(io.BytesIO(data)).convert("RGB"))
    assert back.shape == image.shape
    assert abs(back[20, 50].astype(int) - (250, 20, 20)).max() < 8
    assert len(jpeg_uri(image, 20)) < len(jpeg_uri(image, 95))


def test_a_download_keeps_its_name_and_its_bytes() -> None:
    (link,) = Page(download_link("Save it", "a & b.csv", "ğ,1\r\n".encode(), CSV)).of("a")
    assert link["download"] == "a & b.csv"
    assert "Save it" in link["text"]
    assert decoded(link["href"]) == ("text/csv;charset=utf-8", "ğ,1\r\n".encode())


def test_bars_keep_the_order_of_the_model_and_mark_the_first_label() -> None:
    rows = Page(bars(UNSURE)).of("li")
    assert [row["text"] for row in rows] == [
        "Angry30.0 %", "Disgust0.0 %", "Fear10.0 %", "Happy20.0 %", "Sad25.0 %", "Surprise5.0 %", "Neutral10.0 %",
    ]  # fmt: skip
    assert [row.get("class") for row in rows] == ["fer-top"] + [None] * 6
    assert [row["style"] for row in Page(bars(UNSURE)).of("i")] == [
        f"width:{100 * UNSURE.scores[label]:.1f}%;background:{COLORS[label]}" for label in SEVEN
    ]


def test_the_least_confidence_is_a_line_across_the_bars() -> None:
    (limited,) = Page(bars(UNSURE, "en", 0.45)).of("ul")
    assert limited["style"] == "--least:45.0%"
    (plain,) = Page(bars(UNSURE)).of("ul")
    assert "style" not in plain


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("en", ["Face 1: Happy 89 %", "Face 2: uncertain (Angry 30 %)"]),
        ("tr", ["Yüz 1: Mutlu %89", "Yüz 2: belirsiz (Kızgın %30)"]),
    ],
)
def test_each_face_has_an_accessible_name_a_card_and_a_row(language: str, names: list[str]) -> None:
    page = Page(faces_panel(PICTURE, [HAPPY, UNSURE], language, 0.5))
    picks = page.of("input", "fer-pick")
    assert [pick["aria-label"] for pick in picks] == names
    assert {pick["type"] for pick in picks} == {"radio"}
    assert len({pick["name"] for pick in picks}) == 1
    assert ["checked" in pick for pick in picks] == [True, False]
    assert [each["text"] for each in page.of("p", "fer-title")] == names
    rows = page.of("label", "fer-row")
    assert [row["text"] for row in rows] == names
    assert [row["for"] for row in rows] == [pick["id"] for pick in picks]


def test_an_uncertain_face_is_grey_and_a_certain_one_has_its_colour() -> None:
    boxes = Page(faces_panel(PICTURE, [HAPPY, UNSURE], "en", 0.5)).of("rect", "fer-box")
    assert boxes[0]["stroke"] == COLORS["happy"]
    assert boxes[1]["stroke"] not in COLORS.values()
    assert Page(faces_panel(PICTURE, [UNSURE])).of("rect", "fer-box")[0]["stroke"] == COLORS["angry"]


def test_boxes_lie_where_the_faces_are_and_are_cut_at_the_border() -> None:
    page = Page(faces_panel(PICTURE, [HAPPY, made([1 / 7] * 7, (-20, 75, 100, 300))]))
    (drawing,) = page.of("svg")
    assert drawing["viewbox"] == "0 0 200 150"
    inside, beyond = [pick["style"] for pick in page.of("input")]
    assert inside.startswith("left:10.00%;top:20.00%;width:35.00%;height:60.00%;")
    assert beyond.startswith("left:0.00%;top:50.00%;width:50.00%;height:50.00%;")


def test_the_smaller_of_two_faces_is_the_one_in_front() -> None:
    inner = made([1 / 7] * 7, (40, 50, 60, 70))
    large, small = (
        int(p["style"].rpartition("z-index:")[2]) for p in Page(faces_panel(PICTURE, [HAPPY, inner])).of("input")
    )
    assert small > large


def test_two_panels_in_one_page_keep_apart() -> None:
    Page(faces_panel(PICTURE, [HAPPY, UNSURE], scope="a") + faces_panel(PICTURE, [HAPPY, UNSURE], scope="b"))


@pytest.mark.parametrize(
    ("width", "drawn_size", "place"),
    [(3000, (2048, 1024), (slice(41, 84), slice(28, 63))), (1800, (1800, 900), (slice(60, 121), slice(40, 91)))],
)
def test_the_picture_in_the_page_is_small_and_the_one_to_download_is_larger_but_not_large(
    width: int, drawn_size: tuple[int, int], place: tuple[slice, slice]
) -> None:
    image = np.full((width // 2, width, 3), 128, np.uint8)
    page = Page(faces_panel(image, [made(list(HAPPY.scores.values()), (40, 60, 90, 120))]))
    shown = PILImage.open(io.BytesIO(decoded(page.of("img")[0]["src"])[1]))
    assert (shown.format, max(shown.size)) == ("JPEG", LONGEST)
    assert shown.width / shown.height == pytest.approx(2, rel=0.01)
    (link,) = [each for each in page.of("a") if each["download"] == "faces.jpg"]
    kind, data = decoded(link["href"])
    drawn = PILImage.open(io.BytesIO(data))
    assert (kind, drawn.format, drawn.size) == ("image/jpeg", "JPEG", drawn_size)
    assert max(drawn.size) <= LONGEST_DRAWN
    marked = np.ptp(np.asarray(drawn.convert("RGB")).astype(int), axis=2) > 60
    left, right = np.flatnonzero(marked[place[0].stop - 4 :].any(0))[[0, -1]]
    assert (left, right) == pytest.approx((place[1].start, place[1].stop), abs=8), "the box lies elsewhere"


def test_of_a_large_noisy_photo_the_page_stays_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)
    assert len(faces_panel(noise, [HAPPY])) < 9_000_000


def test_downloads_can_be_left_out() -> None:
    for prediction in (HAPPY, made([1 / 7] * 7, None)):
        page = Page(faces_panel(PICTURE, [prediction], downloads=False))
        assert not page.of("a") and not page.of("div", "fer-downloads")
        assert page.of("p", "fer-title")


@pytest.mark.parametrize(("predictions", "helped"), [([HAPPY], False), ([HAPPY, UNSURE], True)])
def test_how_to_choose_is_said_where_there_is_a_choice(predictions: list[Prediction], helped: bool) -> None:
    page = Page(faces_panel(PICTURE, predictions))
    (group,) = [each for each in page.of("div") if each.get("role") == "radiogroup"]
    assert group["aria-label"] == "Faces"
    assert [each["text"].startswith("Point at a face") for each in page.of("p", "fer-help")] == [True] * helped
    assert group.get("aria-describedby") == (page.of("p", "fer-help")[0]["id"] if helped else None)


def test_the_downloads_say_what_the_recognizer_said(astronaut: tuple[np.ndarray, list[Prediction]]) -> None:
    photo, predictions = astronaut
    links = {each["download"]: decoded(each["href"])[1] for each in Page(faces_panel(photo, predictions)).of("a")}
    assert json.loads(links["faces.json"]) == [each.to_dict() for each in predictions]
    (row,) = csv.DictReader(io.StringIO(links["faces.csv"].decode(), newline=""))
    assert (row["face"], row["label"]) == ("1", "happy")
    assert float(row["happy"]) == pytest.approx(predictions[0].scores["happy"], abs=1e-6)
    assert [float(row[key]) for key in ("x0", "y0", "x1", "y1")] == predictions[0].to_dict()["box"]


def test_the_table_to_download_has_a_row_for_each_face_and_empty_cells_for_a_whole_image() -> None:
    rows = list(csv.DictReader(io.StringIO(faces_csv([HAPPY, UNSURE, made([1 / 7] * 7, None)]), newline="")))
    assert [row["face"] for row in rows] == ["1", "2", "3"]
    assert [row["x0"] for row in rows] == ["20.0", "110.0", ""]
    assert [row["detection"] for row in rows] == ["0.9877", "0.9877", ""]


def test_a_whole_image_has_a_card_and_no_box_and_no_picture() -> None:
    page = Page(faces_panel(PICTURE, [made([0.1] * 6 + [0.4], None)], "tr"))
    assert page.of("p", "fer-title")[0]["text"] == "Resmin tamamı: Nötr %40"
    assert not page.of("input") and not page.of("svg")
    assert [each["download"] for each in page.of("a")] == ["faces.json", "faces.csv"]


def test_sixty_faces_each_have_a_place_and_only_small_numbers_at_their_boxes() -> None:
    page = Page(faces_panel(PICTURE, crowd(60)))
    assert len(page.of("input")) == len(page.of("div", "fer-one")) == len(page.of("label", "fer-row")) == 60
    assert [tag["text"] for tag in page.of("span", "fer-tag")] == [str(number) for number in range(1, 61)]
    assert page.of("p", "fer-count")[0]["text"] == "60 faces"


def test_live_cards_carry_the_identity_of_the_person() -> None:
    titles = [each["text"] for each in Page(live_panel([(3, HAPPY), (12, UNSURE)], "tr", 0.5)).of("p", "fer-title")]
    assert titles == ["Kişi 3: Mutlu %89", "Kişi 12: belirsiz (Kızgın %30)"]


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", ["17.2 frames/s", "42 ms a frame", "1 face"]), ("tr", ["17,2 kare/sn", "kare başına 42 ms", "1 yüz"])],
)
def test_the_status_line_says_speed_and_faces(language: str, words: list[str]) -> None:
    assert [each["text"] for each in Page(status_line(17.249, 41.6, 1, language)).of("span")] == words


WHOLE = made([0, 0, 0, 0.1, 0.6, 0.1, 0.2], None)
PAIR = [HAPPY, UNSURE]
FEW = compared(answer("a", [WHOLE]), answer("b", [], "broken"))


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        (faces_aloud(PAIR), ["2 faces. Face 1: Happy 89 %. Face 2: Angry 30 %."]),
        (faces_aloud(PAIR, "tr", 0.5), ["2 yüz. Yüz 1: Mutlu %89. Yüz 2: belirsiz (Kızgın %30)."]),
        (faces_aloud([WHOLE]), ["Whole image: Sad 60 %."]),
        (faces_aloud([]), []),
        (comparison_aloud(compared(answer("a", [HAPPY]), answer("b", [UNSURE]))), ["Face 1: 1 of 2 models say Happy."]),
        (comparison_aloud(FEW), ["Whole image: Sad 60 %."]),
        (comparison_aloud(replace(FEW, answers=FEW.answers[1:])), []),
        (maps_aloud({"a": {"lime": explanation()}, "b": {"lime": "failed"}}), ["a: Happy, 89.4 %."]),
    ],
)
def test_what_is_told_aloud_is_a_sentence_for_each_face_and_not_seen(piece: str, words: list[str]) -> None:
    told = Page(piece).of("p", "fer-said")
    assert [each["text"] for each in told] == words
    assert all("hidden" in each for each in told)


def test_of_a_crowd_a_few_faces_are_told_aloud_and_all_are_counted() -> None:
    (told,) = Page(faces_aloud(crowd(60))).of("p", "fer-said")
    assert told["text"].startswith("60 faces. Face 1: ")
    assert told["text"].count(":") == 5


def test_a_comparison_is_a_table_of_labels_by_models() -> None:
    eight = made([0.05, 0.6, 0.05, 0.05, 0.05, 0.05, 0.05, 0.1], (20, 30, 90, 120), EIGHT)
    first = answer("first", [HAPPY], test={"accuracy": 0.7055, "n": 3589}, megabytes=7.14)
    found = compared(first, answer("second", [eight]), answer("third", [UNSURE]))
    rows = Tables(comparison_table(found)).rows("Probability")
    assert rows[:4] == [
        ["Accuracy", "70.55 % (n = 3,589)", "–", "–"],
        ["Latency, all faces", "12.5 ms", "12.5 ms", "12.5 ms"],
        ["File size", "7.1 MB", "–", "–"],
        ["Face 12 of 3 models say Happy"],
    ]
    assert dict((row[0], row[1:]) for row in rows[4:])["Contempt"] == ["–", "10.0 %", "–"]
    assert dict((row[0], row[1:]) for row in rows[4:])["Happy"][0].startswith("89.4 %")


def test_the_average_is_the_last_column_and_has_no_vote() -> None:
    sad = made([0, 0, 0.1, 0.2, 0.7, 0, 0], (20, 30, 90, 120))
    found = with_average(compared(answer("a", [HAPPY]), answer("b", [sad])))
    page = Page(comparison_table(found))
    assert [each["text"] for each in page.of("th")][:4] == ["Model", "a", "b", "Average of the chosen models"]
    assert [each["text"] for each in page.of("span", "fer-votes")] == ["1 of 2 models say Happy"]
    rows = Tables(comparison_table(found)).rows("Probability")
    assert [len(row) for row in rows] == [4, 1] + [4] * 7
    assert rows[0] == ["Latency, all faces", "12.5 ms", "12.5 ms", "25.0 ms"]
    assert dict((row[0], row[3]) for row in rows[2:])["Happy"] == "54.7 %Highest"
    assert len(page.of("td", "fer-average")) == 8
    assert page.of("th")[-8]["colspan"] == "4"
    assert not page.of("p", "fer-none")


@pytest.mark.parametrize(
    ("others", "language", "note"),
    [
        ([made([0.125] * 8, None, EIGHT)], "en", "that all models know, without: Contempt."),
        ([made([0.125] * 8, None, EIGHT)], "tr", "şunlar yok: Küçümseyen."),
        ([], "en", "fewer than two models gave an answer."),
        ([made([0.5, 0.5], None, ("contempt", "fear"))], "en", "no label in common."),
    ],
)
def test_what_the_average_lacks_is_said_in_the_visitors_language(
    others: list[Prediction], language: str, note: str
) -> None:
    first = answer("a", [made([0.5, 0.5], None, ("happy", "sad")) if "common" in note else made([1 / 7] * 7, None)])
    found = with_average(compared(first, *[answer("b", [other]) for other in others]))
    (said,) = Page(comparison_table(found, language)).of("p", "fer-none")
    assert said["text"].endswith(note)
    assert not Page(comparison_table(compared(first), language)).of("p", "fer-none")


@pytest.mark.parametrize(
    ("test", "cells"),
    [
        ({"accuracy": 0.5}, ["50.00 %", "–"]),
        ({"accuracy": 0.5, "n": "many"}, ["50.00 %", "–"]),
        ({"accuracy": "70 %", "n": 10}, None),
    ],
)
def test_a_stranger_may_write_anything_into_a_config(test: dict[str, Any], cells: list[str] | None) -> None:
    first = answer("a", [HAPPY], test=test)
    rows = {row[0]: row[1:] for row in Tables(comparison_table(compared(first, answer("b", [HAPPY])))).rows("Prob")}
    assert rows.get("Accuracy") == cells
    line = model_line(first.info)
    assert line.endswith("test accuracy 50.0 %" if cells else "accuracy not stated")
    odd = replace(first.info, fer=cast(Any, ["metrics"]))
    assert model_line(odd).endswith("accuracy not stated")
    comparison_table(compared(replace(first, info=odd)))


def test_the_highest_label_of_each_model_is_said_to_be_it_not_by_colour_alone() -> None:
    page = Page(comparison_table(compared(answer("a", [HAPPY]), answer("b", [UNSURE])), "en", 0.5))
    assert [cell["text"] for cell in page.of("td", "fer-highest")] == ["30.0 %Uncertain", "89.4 %Highest"]


def test_tables_say_what_their_heads_are_for() -> None:
    for piece in ("compare", "board", "maps"):
        page = Page(every_piece("en")[piece])
        assert {head.get("scope") for head in page.of("th")} <= {"col", "row", "rowgroup"}
        assert page.of("caption")[0]["text"]
        (region,) = page.of("div", "fer-scroll")
        assert region["tabindex"] == "0" and region["aria-label"]


def test_a_model_that_failed_is_named_with_its_reason_and_the_others_are_shown() -> None:
    found = compared(answer("good", [HAPPY, UNSURE]), answer("bad", [], "the file is cut short."))
    page = Page(comparison_table(found))
    assert [each["text"] for each in page.of("p", "fer-none")] == ["bad failed: the file is cut short."]
    assert [row["text"] for row in page.of("tr", "fer-group")] == ["Face 1", "Face 2"]


def test_a_comparison_without_models_or_without_faces_says_so() -> None:
    assert "Choose at least one model." in comparison_table(Comparison((9, 9), (), 0.0, ()))
    none = comparison_table(Comparison((9, 9), (), 0.02, (answer("a", []),)))
    assert "No face found" in none and "20 ms" in none


def test_the_leaderboard_shows_what_the_files_state_and_leaves_the_rest_empty() -> None:
    row = describe("fer-lite0")
    bare = dict.fromkeys(row) | {"name": "bare", "architecture": "net", "input": [1, 48, 40]}
    first, second = Tables(leaderboard([row | {"latency_ms": 1.134}, bare], "tr")).rows("Mevcut")
    metrics = Recognizer.from_pretrained().info.fer["metrics"]["test"]
    accuracy = f"%{100 * metrics['accuracy']:.2f}".replace(".", ",")
    assert first[:4] == ["fer-lite0", "tf_efficientnet_lite0", "96×96", f"{accuracy} (FER2013, n = 3.589)"]
    assert first[-1] == "1,13"
    assert re.fullmatch(r"\w+ %\d\d,\d", first[5])
    assert second == ["bare", "net", "40×48"] + ["–"] * 6


def test_a_model_that_cannot_be_described_has_its_name_and_the_reason() -> None:
    row = describe("fer-lite0") | {"latency_ms": 1.134, "latency_n": 99}
    rows = Tables(leaderboard([{"name": "me/gone", "error": "It is gone."}, row])).rows("What is")
    assert rows[0] == ["me/gone", "It is gone."]
    assert len(rows[1]) == 9


def test_how_the_latency_was_measured_is_said_where_there_is_one() -> None:
    row = describe("fer-lite0")
    assert not Page(leaderboard([row])).of("p")
    (note,) = Page(
        leaderboard([row, row | {"latency_ms": 1.1, "latency_n": 990}, row | {"latency_ms": 9.1, "latency_n": 99}])
    ).of("p")
    assert "median of 99 or more calls" in note["text"]


def test_maps_stand_in_a_grid_of_models_by_methods_with_alt_texts() -> None:
    rows = {"a": {"lime": explanation(), "occlusion": "No room."}, "b": {"occlusion": explanation("sad")}}
    page = Page(heat_grid({"a": PICTURE, "b": PICTURE + 100}, ("lime", "occlusion"), rows))
    assert [each["text"] for each in page.of("th")][:3] == ["Model", "LIME", "Occlusion"]
    assert [each["text"] for each in page.of("figcaption")] == ["Happy, 89.4 %", "Sad, 89.4 %"]
    assert [each["alt"] for each in page.of("img")] == [
        "The face as the model is given it",
        "LIME for a: what speaks for and against Happy",
        "The face as the model is given it",
        "Occlusion for b: what speaks for and against Sad",
    ]
    assert [each["text"] for each in page.of("td")] == ["Happy, 89.4 %", "No room.", "Waiting…", "Sad, 89.4 %"]
    pictures = [PILImage.open(io.BytesIO(decoded(each["src"])[1])) for each in page.of("img")]
    assert {picture.size for picture in pictures} == {(240, 240)}
    assert [int(np.asarray(picture).mean()) for picture in pictures[::2]] == pytest.approx([128, 228], abs=2)


def test_the_sentence_for_a_map_is_escaped_once() -> None:
    rows = {"a": {"lime": '<b> & "c"'}}
    assert Page(heat_grid({"a": PICTURE}, ("lime",), rows)).of("p", "fer-none")[0]["text"] == '<b> & "c"'


def test_the_image_is_left_as_it_was() -> None:
    before = PICTURE.copy()
    faces_panel(PICTURE, [HAPPY])
    assert (before == PICTURE).all()


def test_in_a_browser_pointing_and_the_arrow_keys_choose_the_face_without_a_script() -> None:
    styles = (ROOT / "fer_hub" / "assets" / "app.css").read_text(encoding="utf-8")
    with launched() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 900}, java_script_enabled=False)
        panel = faces_panel(np.repeat(np.repeat(PICTURE, 4, 0), 4, 1), [HAPPY, UNSURE])
        page.set_content(f"<style>{styles}</style>{panel}")
        cards = page.locator(".fer-one:visible .fer-title")
        assert cards.all_inner_texts() == ["Face 1: Happy 89 %"]
        page.locator("#image-row-2").hover()
        assert cards.all_inner_texts() == ["Face 2: Angry 30 %"]
        page.mouse.move(0, 899)
        assert cards.all_inner_texts() == ["Face 1: Happy 89 %"]
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        assert cards.all_inner_texts() == ["Face 2: Angry 30 %"]
        page.get_by_role("radio", name="Face 1: Happy 89 %").hover(position={"x": 5, "y": 5})
        assert cards.all_inner_texts() == ["Face 1: Happy 89 %"]
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        assert download.value.path().read_bytes().startswith(b"face,label,confidence")
