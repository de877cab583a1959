"""The Gradio app: expressions in photos, on the live camera, in videos; models side by side, explained, listed.

`python app.py [MODEL …]`. Tabs and their handlers; what they show is made by `fer_hub`, in words by its `languages`.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

import base64
import binascii
import ctypes
import html
import inspect
import logging
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder, is_in_or_equal

from fer_hub import ImageError, ModelError, Recognizer
from fer_hub import fragments as page
from fer_hub.comparison import compare_models, with_average
from fer_hub.download import causes
from fer_hub.explain import EXPLAINERS, Explanation, explain
from fer_hub.hub import DEFAULT_MODEL, find_model, read_info
from fer_hub.image import MAX_MEGAPIXELS, draw, read
from fer_hub.labels import DISPLAY, LEAST
from fer_hub.languages import LANGUAGES, language_of, number, say
from fer_hub.listing import card, describe, latency
from fer_hub.live import Cameras, Frame, Live
from fer_hub.shelf import Shelf
from fer_hub.smoothing import HALF_LIFE
from fer_hub.timeline import Timeline
from fer_hub.types import ChoiceError, Image, VideoError
from fer_hub.video import Progress, annotate

ASSETS = Path(__file__).parent / "fer_hub" / "assets"
SCRIPTS = ("announce.js", "one_frame.js")
EXAMPLES = sorted((ASSETS / "examples").glob("*.jpg"))
MODELS = Path(__file__).with_name("models.txt")
"""Folders and Hub ids to offer, a line each; a Space has one."""
MAX_UPLOAD_MEGABYTES = 100
MAX_VIDEO_SECONDS = 600.0
KEPT = 3300
"""Seconds, looked at every `SWEPT`, for which uploads, and the videos made of them, are on the server."""
SWEPT = 300
MAX_COMPARED = 4
LIMITS = {"api": 2, "page": 4, "load": 4, "explain": 1, "video": 1, "measure": 1}
"""How many of a kind run at once; the others wait in the queue."""
STREAMS = 16
"""Cameras at once; who comes later waits in the queue."""
STREAM_SECONDS = 300 if "SPACE_ID" in os.environ else None
"""Of computing for a camera, after which a shared server stops it, so that others have their turn."""
MAX_FRAME_MEGAPIXELS = 4.0
CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}, "frameRate": {"ideal": 30}}}
SAVE = (
    "(file) => { if (file) Object.assign(document.createElement('a'), {href: file.data, download: file.name}).click() }"
)
"""Hands a file to the visitor's browser, without keeping it on the server."""
SHELF = Shelf()
"""The models and the detector, shared by all visitors."""
CAMERAS = Cameras(SHELF.detector)
"""What the live cameras have seen, by visitor."""
PROGRESS = gr.Progress()
Handler = Callable[..., Any]
KINDS = {ImageError: "error.image", ModelError: "error.model", VideoError: "error.video"}
"""Errors whose sentence is meant for the visitor, and in what words it is told; a `ChoiceError` speaks for itself."""


# ── what all tabs share ──────────────────────────────────────────────────────────────────────────────────────────────


def spoken(request: gr.Request | None) -> str:
    """The visitor's language."""
    return language_of(request.headers.get("accept-language") if request else None)


def in_words(error: Exception, language: str) -> str:
    """An error as a sentence in the visitor's language, as far as it was foreseen; without folders of the server."""
    if not isinstance(error, (*KINDS, ChoiceError)):
        return say("error.unexpected", language)
    reason = without_folders(str(error))
    key = next((key for kind, key in KINDS.items() if isinstance(error, kind)), None)
    return say(key, language, reason=reason) if key else reason


def without_folders(text: str) -> str:
    """A sentence in which files of the server have their names, but not their places."""
    return re.sub(r"(?<![\w:/.])/(?:[^\s/:'\"]+/)+", "", text)


def told(handler: Handler, escape: Callable[[str], str] = html.escape) -> Handler:
    """A handler whose errors become a toast, which is HTML; what nobody foresaw goes to the log, too."""

    def toast(error: Exception, given: Sequence[Any]) -> gr.Error:
        if not isinstance(error, (*KINDS, ChoiceError)):
            logging.getLogger("fer_hub.app").error("%s failed", handler.__name__, exc_info=error)
        language = spoken(next((each for each in given if isinstance(each, gr.Request)), None))
        return gr.Error(escape(in_words(error, language)), print_exception=False)

    @wraps(handler)
    def once(*given: Any) -> Any:
        try:
            return handler(*given)
        except Exception as error:
            raise toast(error, given) from error

    @wraps(handler)
    def many(*given: Any) -> Iterator[Any]:
        try:
            yield from handler(*given)
        except Exception as error:
            raise toast(error, given) from error

    return many if inspect.isgeneratorfunction(handler) else once


def several(
    models: Sequence[str], most: int, language: str, on_error: Callable[[ModelError], object]
) -> dict[str, Recognizer]:
    """The models that can be loaded; `on_error` is told of each that cannot."""
    if not 1 <= len(models) <= most:
        raise ChoiceError(say("compare.models_count", language, most=most))
    return SHELF.several(models, most, on_error)


def warn(language: str) -> Callable[[ModelError], object]:
    """Tells an error in a toast."""
    return lambda error: gr.Warning(html.escape(in_words(error, language)))


def ignore(error: Exception) -> None:
    """Leave a model out: `on_compared` has told why."""


def read_upload(photo: str, language: str) -> Image:
    """An uploaded photo, unless it has been deleted meanwhile."""
    if not os.path.exists(photo):
        raise ChoiceError(say("error.expired", language))
    return read(photo)


def note(error: Exception, language: str) -> str:
    """An error as a sentence in the page, where a toast at every frame would be too much."""
    return page.said(in_words(error, language))


def filled(language: str) -> dict[str, str]:
    """Texts of the page that hold figures."""
    limits = {"megapixels": MAX_MEGAPIXELS, "megabytes": MAX_UPLOAD_MEGABYTES, "minutes": MAX_VIDEO_SECONDS / 60}
    words = {name: number(value, 0, language) for name, value in limits.items()}
    about = page.about_page(read_info(find_model()), language)
    return {"about": about, "upload.limits": say("upload.limits", language, **words)}


I18N = gr.I18n(**{language: texts | filled(language) for language, texts in LANGUAGES.items()})


def t(key: str) -> Any:
    """A text that the browser shows in its own language."""
    return I18N(key)


def photo_input(**options: Any) -> gr.Image:
    """An image input that hands the uploaded file on unread: reading and its errors are `fer_hub.image`'s.

    gr.Image decodes by itself, and its errors reach nobody. The one method is replaced, since for a subclass
    gradio writes a stub file into the source folder. (gr.Examples would make a new gr.Image of it: use a gallery.)
    """
    photo = gr.Image(sources=["upload", "clipboard"], **options)
    photo.preprocess = lambda payload: payload.path if payload else None
    return photo


def picture_output(**options: Any) -> gr.Image:
    """An image that is given as a data URL, see `pass_data_urls`."""
    return gr.Image(interactive=False, buttons=["fullscreen"], **options)


def pass_data_urls() -> None:
    """Let a gr.Image that is given a data URL send it within the answer: no file of the picture is written.

    The class is changed, not one object: gradio makes a component anew for a visitor when it is updated or skipped.
    """
    write = gr.Image.postprocess

    def postprocess(self: gr.Image, value: Any) -> Any:
        within = isinstance(value, str) and value.startswith("data:")
        return ImageData(url=value) if within else write(self, value)

    gr.Image.postprocess = postprocess


pass_data_urls()


def camera_input(**options: Any) -> gr.Image:
    """The visitor's camera; its frames are handed on as they come, data URLs, for `frame_of` to read."""
    webcam = gr.WebcamOptions(mirror=True, constraints=CAMERA)
    camera = gr.Image(sources=["webcam"], streaming=True, webcam_options=webcam, buttons=[], **options)
    camera.preprocess = lambda payload: payload.url if payload else None
    return camera


def frame_of(address: str) -> Image:
    """A camera's frame, decoded; one that is too large is refused before."""
    try:
        data = base64.b64decode(address.partition(",")[2])
    except binascii.Error as error:
        raise ImageError("The frame is no data URL.") from error
    return read(data, MAX_FRAME_MEGAPIXELS)


def stream(camera: gr.Image, handler: Handler, inputs: list[Any], outputs: list[Any]) -> None:
    """Send the camera's newest frame to the handler, as soon as the frame before is answered."""
    camera.stream(
        told(handler),
        inputs,
        outputs,
        stream_every=0.03,
        time_limit=STREAM_SECONDS,
        concurrency_limit=STREAMS,
        concurrency_id="camera",
        show_progress="hidden",
        api_visibility="private",
    )


def listen(
    event: Callable[..., Any],
    handler: Callable[..., Any],
    inputs: Any,
    outputs: Any,
    kind: str = "page",
    **options: Any,
) -> Any:
    """An event of the page only, hidden from the API; its kind is one of `LIMITS`."""
    options = {"show_progress": "minimal", "concurrency_id": kind, "concurrency_limit": LIMITS[kind]} | options
    return event(told(handler), inputs, outputs, api_visibility="private", **options)


def followed() -> tuple[gr.Slider, gr.Slider]:
    """How faces are followed: half-life of the smoothing, and the least confidence of a name."""
    with gr.Row():
        half_life = gr.Slider(0, 2, HALF_LIFE, step=0.1, label=t("camera.half_life"), info=t("camera.half_life_info"))
        least = gr.Slider(0, 0.95, LEAST, step=0.05, label=t("camera.least"), info=t("camera.least_info"))
    return half_life, least


# ── image ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def on_photo(photo: str | None, model: str, whole: bool, request: gr.Request) -> tuple[str, list[dict[str, Any]]]:
    """Every face of a photo, with its bars and downloads; the same as JSON."""
    if not photo:
        return "", []
    language = spoken(request)
    image = read_upload(photo, language)
    try:
        predictions = SHELF.get(model)(image, whole_image=whole)
    except ModelError as error:  # `on_model` has told it in a toast
        return note(error, language), []
    panel = page.faces_panel(image, predictions, language) + page.faces_aloud(predictions, language)
    return panel, [prediction.to_dict() for prediction in predictions]


def on_example(picked: gr.SelectData) -> str:
    """The path of the example photo that was clicked."""
    return str(EXAMPLES[picked.index])


def examples(photo: gr.Image) -> None:
    """Photos to try: a click puts one into the input."""
    gallery = gr.Gallery(
        EXAMPLES,
        label=t("image.examples"),
        elem_id=f"{photo.elem_id}-examples",
        elem_classes="examples",
        interactive=False,
        allow_preview=False,
        height=120,
        buttons=[],
    )
    gallery.select(on_example, None, photo, api_visibility="private")


def photo_choice(name: str, height: int = 320, **switch: Any) -> tuple[gr.Image, gr.Checkbox]:
    """A photo to give, the switch that takes it whole as one face, and examples."""
    photo = photo_input(label=t("image.photo"), elem_id=name, alt_text=t("image.photo_alt"), height=height)
    whole = gr.Checkbox(False, label=t("image.whole"), **switch)
    examples(photo)
    return photo, whole


def image_tab(model: gr.Dropdown) -> None:
    """Upload, paste or pick an example; boxes to hover or pick, bars, downloads."""
    with gr.Row():
        with gr.Column(scale=2):
            photo, whole = photo_choice("photo", info=t("image.whole_info"), elem_id="whole")
            gr.Markdown(t("upload.limits"))
        with gr.Column(scale=3):
            panel = gr.HTML(elem_id="faces")
            with gr.Accordion(t("image.json"), open=False):
                data = gr.JSON(show_label=False)
    for event in (photo.change, model.change, whole.change):
        listen(event, on_photo, [photo, model, whole], [panel, data])


# ── webcam ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def camera_of(request: gr.Request, name: str = "") -> Live:
    """What a visitor's own camera has seen."""
    return CAMERAS.of(str(request.session_hash), name)


def on_frame(
    address: str | None, model: str, half_life: float, least: float, request: gr.Request
) -> tuple[Any, Any, Any]:
    """The newest frame of the camera: annotated, bars, timeline of the last 30 s."""
    live, language, started = camera_of(request), spoken(request), time.perf_counter()
    if not address or live.paused:
        return gr.skip(), gr.skip(), gr.skip()
    now, cleared = time.monotonic(), live.cleared
    try:
        frame = frame_of(address)
        seen = live.look(frame, {model: SHELF.get(model)}, half_life, now)
    except (ImageError, ModelError) as error:
        return gr.skip(), note(error, language), gr.skip()
    picture = page.jpeg_uri(drawn(frame, seen, language, least))
    if live.paused or live.cleared != cleared:  # meanwhile
        return gr.skip(), gr.skip(), gr.skip()
    live.picture = picture
    charts = page.camera_charts(live.timeline, seen, language, least) if live.due(now) else gr.skip()
    panel = page.camera_panel(replace(seen, seconds=time.perf_counter() - started), language, least)
    return picture, panel, charts


def drawn(frame: Image, seen: Frame, language: str, least: float) -> Image:
    """The frame with everybody's number and expression."""
    predictions = [prediction for _, prediction in seen.people]
    return draw(frame, predictions, language, names=[str(person) for person, _ in seen.people], least=least)


def on_pause(request: gr.Request) -> Any:
    """Stop looking at frames, or go on."""
    live = camera_of(request)
    live.paused = not live.paused
    return say("camera.resume" if live.paused else "camera.pause", spoken(request))


def on_snapshot(request: gr.Request) -> dict[str, str]:
    """The annotated frame of this moment, for the visitor's own disk."""
    live = camera_of(request)
    if not live.picture:
        raise ChoiceError(say("camera.start_hint", spoken(request)))
    return {"name": "fer_hub.jpg", "data": live.picture}


def on_export(request: gr.Request) -> dict[str, str]:
    """The session's timeline, for the visitor's own disk."""
    kept = camera_of(request).timeline
    if kept is None:
        raise ChoiceError(say("camera.start_hint", spoken(request)))
    if kept.dropped:
        gr.Info(say("camera.dropped", spoken(request)))
    return {"name": "fer_hub.csv", "data": page.data_uri(kept.csv().encode(), page.CSV)}


def on_clear(request: gr.Request) -> tuple[None, str, str]:
    """Forget what the camera has seen."""
    camera_of(request).clear()
    return None, "", ""


def on_leave(request: gr.Request) -> None:
    """Forget a visitor who has left."""
    CAMERAS.forget(str(request.session_hash))


def webcam_tab(model: gr.Dropdown) -> None:
    """The live camera; what was seen stays in memory, for this visitor only, until the page is left."""
    parcel = gr.JSON(visible="hidden")
    gr.Markdown(t("camera.start_hint"))
    with gr.Row():
        with gr.Column():
            camera = camera_input(label=t("camera.camera"), elem_id="camera", alt_text=t("camera.camera_alt"))
            with gr.Row():
                pause, snapshot, export, clear = (
                    gr.Button(t(f"camera.{name}"), elem_id=name, size="sm", min_width=80)
                    for name in ("pause", "snapshot", "export", "clear")
                )
        with gr.Column():
            live = picture_output(label=t("camera.live"), elem_id="live", alt_text=t("camera.live_alt"))
            panel = gr.HTML(elem_id="live-bars")
    charts = gr.HTML(elem_id="live-charts")
    half_life, least = followed()
    gr.Markdown(t("camera.privacy"))
    stream(camera, on_frame, [camera, model, half_life, least], [live, panel, charts])
    quick = {"show_progress": "hidden", "queue": False}
    listen(pause.click, on_pause, None, pause, **quick)
    listen(clear.click, on_clear, None, [live, panel, charts], **quick)
    for button, handler in ((snapshot, on_snapshot), (export, on_export)):
        made = listen(button.click, handler, None, parcel, **quick)
        made.success(None, parcel, None, js=SAVE, api_visibility="private")


# ── video ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def on_video(
    clip: str | None, model: str, half_life: float, least: float, request: gr.Request, progress: gr.Progress = PROGRESS
) -> Iterator[tuple[Any, ...]]:
    """Annotate a clip; a preview on the way, at the end the video, a timeline of each person, and downloads."""
    language = spoken(request)
    if not clip:
        raise ChoiceError(say("video.choose", language))
    if not os.path.exists(clip):
        raise ChoiceError(say("error.expired", language))
    named, loaded = Path(clip), SHELF.get(model)
    timeline = Timeline(loaded.labels)
    with TemporaryDirectory(prefix="fer-hub-") as folder:  # gradio makes its own copy of what is shown
        out = Path(folder) / f"{named.stem}-fer_hub.mp4"
        steps = annotate(
            named,
            loaded,
            out,
            timeline,
            half_life=half_life,
            least=least,
            language=language,
            max_seconds=MAX_VIDEO_SECONDS,
        )
        with closing(steps):  # where it is cancelled: before the folder goes
            for step in steps:
                share, words = video_progress(step, language)
                progress(share, desc=words)
                if step.preview is not None:
                    yield page.jpeg_uri(step.preview), gr.skip(), gr.skip()
                if step.notes:
                    gr.Warning(html.escape(" ".join(step.notes)))
        panel = page.video_panel(named.stem, timeline, language, least)
        yield gr.skip(), str(out), panel + page.timeline_aloud(timeline, language, least)


def video_progress(step: Progress, language: str) -> tuple[float, str]:
    """Share of the work that is done, and words for it."""
    done = number(step.frames, 0, language)
    if not step.expected:
        return 0.0, say("video.progress_open", language, done=done)
    share = min(step.frames / step.expected, 1.0)
    left, total = number(step.elapsed * (1 / share - 1), 0, language), number(step.expected, 0, language)
    return share, say("video.progress", language, done=done, total=total, seconds=left)


def video_tab(model: gr.Dropdown) -> None:
    """Upload a clip; an annotated video and a timeline of every person come back."""
    with gr.Row():
        with gr.Column():
            clip = gr.Video(label=t("video.clip"), sources=["upload"], elem_id="clip", height=320)
            clip.preprocess = lambda payload: payload.path if payload else None
            gr.Markdown(t("upload.limits"))
            half_life, least = followed()
            with gr.Row():
                start = gr.Button(t("video.start"), variant="primary", elem_id="video-start")
                cancel = gr.Button(t("video.cancel"), elem_id="video-cancel")
        with gr.Column():
            preview = picture_output(label=t("video.preview"), elem_id="video-preview", alt_text=t("video.result_alt"))
            result = gr.Video(label=t("video.result"), elem_id="video-result", interactive=False, buttons=["download"])
            gr.Markdown(t("video.kept"))
            charts = gr.HTML(elem_id="video-charts")
    inputs, outputs = [clip, model, half_life, least], [preview, result, charts]
    run = listen(start.click, on_video, inputs, outputs, "video", show_progress="full", show_progress_on=[preview])
    cancel.click(None, None, None, cancels=[run], api_visibility="private")


# ── compare ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def on_compare(photo: str | None, models: list[str], ensemble: bool, whole: bool, request: gr.Request) -> str:
    """All faces of a photo by all models: detected once, classified by each."""
    if not photo:
        return ""
    language = spoken(request)
    image = read_upload(photo, language)
    try:
        chosen = several(models, MAX_COMPARED, language, ignore)
    except (ChoiceError, ModelError) as error:
        return note(error, language)
    comparison = compare_models(chosen, image, whole_image=whole)
    table = page.comparison_table(with_average(comparison) if ensemble else comparison, language)
    if not comparison.faces or not comparison.answered:
        return table
    panel = page.faces_panel(image, comparison.answered[0].predictions, language, scope="compare", downloads=False)
    return panel + table + page.comparison_aloud(comparison, language)


def on_compare_frame(
    address: str | None, models: list[str], ensemble: bool, half_life: float, request: gr.Request
) -> tuple[Any, Any]:
    """The newest frame by all models: tracked once, classified by each."""
    live, language, started = camera_of(request, "compare"), spoken(request), time.perf_counter()
    if not address:
        return gr.skip(), gr.skip()
    try:
        frame, chosen = frame_of(address), several(models, MAX_COMPARED, language, ignore)
    except (ChoiceError, ImageError, ModelError) as error:
        return gr.skip(), note(error, language)
    seen = live.look(frame, chosen, half_life, time.monotonic())
    comparison = with_average(seen.comparison) if ensemble else seen.comparison
    names = [say("camera.person", language, number=person) for person in seen.ids]
    picture = page.jpeg_uri(drawn(frame, seen, language, 0.0))
    status = page.status_line(seen.rate, (time.perf_counter() - started) * 1000, len(seen.ids), language)
    return picture, status + (page.comparison_table(comparison, language, names=names) if names else "")


def on_compared(models: list[str], request: gr.Request) -> None:
    """Load the models that were chosen, with a toast for each that cannot be."""
    language = spoken(request)
    several(models, MAX_COMPARED, language, warn(language))


def compare_tab() -> None:
    """Up to four models on a photo, or on the camera."""
    models = gr.Dropdown(
        SHELF.offered,
        value=SHELF.offered[:2],
        multiselect=True,
        max_choices=MAX_COMPARED,
        allow_custom_value=True,
        label=t("compare.models"),
        info=t("compare.models_info"),
        elem_id="compare-models",
    )
    ensemble = gr.Checkbox(False, label=t("compare.ensemble"), elem_id="compare-ensemble")
    with gr.Tab(t("compare.photo")):
        with gr.Row():
            with gr.Column(scale=2):
                photo, whole = photo_choice("compare-photo")
            with gr.Column(scale=3):
                table = gr.HTML(elem_id="compare-table")
    with gr.Tab(t("compare.camera"), elem_id="compare-live"):
        gr.Markdown(t("camera.start_hint"))
        with gr.Row():
            with gr.Column():
                camera = camera_input(
                    label=t("camera.camera"), elem_id="compare-camera", alt_text=t("camera.camera_alt")
                )
                half_life = gr.Slider(0, 2, HALF_LIFE, step=0.1, label=t("camera.half_life"))
            with gr.Column():
                live = picture_output(label=t("camera.live"), alt_text=t("camera.live_alt"))
        live_table = gr.HTML(elem_id="compare-live-table")
    for event in (photo.change, models.change, ensemble.change, whole.change):
        listen(event, on_compare, [photo, models, ensemble, whole], table)
    listen(models.change, on_compared, models, None, "load")
    stream(camera, on_compare_frame, [camera, models, ensemble, half_life], [live, live_table])


# ── explain ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def on_explain_photo(photo: str | None, whole: bool, request: gr.Request) -> tuple[Any, Any, str]:
    """The faces of a photo, numbered, to choose one of them; maps of another one go."""
    nothing = None, gr.update(choices=[], value=None), ""
    if not photo:
        return nothing
    language = spoken(request)
    image = read_upload(photo, language)
    predictions = SHELF.get(DEFAULT_MODEL)(image, whole_image=whole)
    if not predictions:
        gr.Warning(say("image.none", language))
        return nothing
    numbers = [str(number) for number, _ in enumerate(predictions, 1)]
    choices = [(say("face", language, number=number), number) for number in numbers]
    picture = page.jpeg_uri(draw(image, predictions, language, names=numbers))
    return picture, gr.update(choices=choices, value=numbers[0]), ""


def on_explain(
    photo: str | None,
    whole: bool,
    face: str | None,
    label: str,
    models: list[str],
    methods: list[str],
    request: gr.Request,
    progress: gr.Progress = PROGRESS,
) -> Iterator[str]:
    """Maps of one face by several methods for one model or two, each shown as soon as it is made."""
    language = spoken(request)
    if not photo or not face:
        raise ChoiceError(say("explain.choose", language))
    if not methods:
        raise ChoiceError(say("explain.methods_choose", language))
    image, loaded = read_upload(photo, language), several(models, 2, language, warn(language))
    faces = SHELF.get(DEFAULT_MODEL).faces(image, whole)
    if int(face) > len(faces):
        raise ChoiceError(say("explain.choose", language))
    crops = {model: each.crop(image, faces[int(face) - 1]) for model, each in loaded.items()}
    rows: dict[str, dict[str, Explanation | str]] = {model: {} for model in loaded}
    jobs = [(model, method) for model in loaded for method in methods]
    for done, (model, method) in enumerate(jobs):
        words = {"method": say(f"explain.method.{method}", language), "model": model, "done": done, "total": len(jobs)}
        progress(done / len(jobs), desc=say("explain.progress", language, **words))
        rows[model][method] = explained(loaded[model], crops[model], method, label, language)
        aloud = page.maps_aloud(rows, language) if done + 1 == len(jobs) else ""
        yield page.heat_grid(crops, methods, rows, language) + aloud


def explained(loaded: Recognizer, crop: Image, method: str, label: str, language: str) -> Explanation | str:
    """A map, or the sentence that says why there is none: of this method or this model only, the others go on."""
    try:
        return explain(loaded.classifier, crop, method, label or None)
    except (ModelError, ValueError) as error:
        if any(isinstance(each, ImportError) for each in causes(error)):
            return say("explain.missing", language, method=say(f"explain.method.{method}", language), reason=error)
        return without_folders(str(error))


def explain_tab() -> None:
    """Grad-CAM, LIME and occlusion of a chosen face and expression, beside each other."""
    with gr.Row():
        with gr.Column(scale=2):
            photo, whole = photo_choice("explain-photo", height=280)
        with gr.Column(scale=3):
            faces = picture_output(label=t("image.faces"), alt_text=t("image.result_alt"), height=280)
            face = gr.Radio([], label=t("explain.face"), elem_id="explain-face")
            labels = [(t("explain.top"), ""), *((t(f"label.{name}"), name) for name in DISPLAY["en"])]
            label = gr.Dropdown(labels, value="", label=t("explain.label"), info=t("explain.label_info"))
            models = gr.Dropdown(
                SHELF.offered, value=SHELF.offered[:1], multiselect=True, max_choices=2, label=t("explain.models")
            )
            methods = gr.CheckboxGroup(
                [(t(f"explain.method.{name}"), name) for name in EXPLAINERS],
                value=list(EXPLAINERS),
                label=t("explain.methods"),
            )
            with gr.Row():
                run = gr.Button(t("explain.run"), variant="primary", elem_id="explain-run")
                stop = gr.Button(t("video.cancel"), elem_id="explain-cancel")
    state = gr.HTML(min_height=60)
    grid = gr.HTML(elem_id="explain-grid")
    for event in (photo.change, whole.change):
        listen(event, on_explain_photo, [photo, whole], [faces, face, grid])
    inputs = [photo, whole, face, label, models, methods]
    running = listen(run.click, on_explain, inputs, grid, "explain", show_progress="full", show_progress_on=[state])
    stop.click(None, None, None, cancels=[running], api_visibility="private")


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def described(model: str) -> dict[str, Any]:
    """What a model's own files say of it, or why they cannot be read; the Hub is asked every ten minutes at most."""
    return dict(_described(model, int(time.monotonic() / 600)))


@lru_cache(maxsize=64)
def _described(model: str, when: int) -> dict[str, Any]:
    try:
        return describe(SHELF.source(model)) | {"name": model}
    except ModelError as error:
        return {"name": model, "error": without_folders(str(error).replace(SHELF.source(model), model))}


def on_board(request: gr.Request) -> str:
    """What each model's own files say of it."""
    return page.leaderboard([described(model) for model in SHELF.offered], spoken(request))


def on_measure(request: gr.Request, progress: gr.Progress = PROGRESS) -> Iterator[str]:
    """The same, with what one face takes here and now."""
    rows = [described(model) for model in SHELF.offered]
    for done, row in enumerate(rows):
        progress(done / len(rows), desc=row["name"])
        row |= timed(row["name"])
        yield page.leaderboard(rows, spoken(request))


def timed(model: str) -> dict[str, Any]:
    """What one face takes a model here, for its row; or why that cannot be measured."""
    try:
        timing = latency(SHELF.get(model))
    except ModelError as error:
        return {"error": without_folders(str(error))}
    return {"latency_ms": timing.p50, "latency_n": timing.n}


def on_card(model: str) -> str:
    """The card of a model."""
    return card(SHELF.source(model))


def models_tab() -> tuple[gr.HTML, gr.Markdown, gr.Dropdown]:
    """Leaderboard, latency on demand, cards."""
    board = gr.HTML(elem_id="board")
    measure = gr.Button(t("models.measure"), elem_id="measure", size="sm")
    model = gr.Dropdown(SHELF.offered, value=DEFAULT_MODEL, label=t("models.card"))
    text = gr.Markdown(elem_id="card")
    listen(measure.click, on_measure, None, board, "measure")
    listen(model.change, on_card, model, text, "load")
    return board, text, model


# ── for programs: gradio_client, HTTP and MCP ────────────────────────────────────────────────────────────────────────


def uploaded(file: Any) -> str:
    """The path of a file that a program has uploaded, or that gradio has fetched for it; no other of the server.

    Raises:
        ChoiceError: It is none.
    """
    path = str(file.get("path") if isinstance(file, dict) else file)
    if not is_in_or_equal(path, get_upload_folder()):
        raise ChoiceError("Give an uploaded file, as handle_file('photo.jpg') of gradio_client does.")
    return path


def predict(photo: gr.FileData, model: str = DEFAULT_MODEL, whole_image: bool = False) -> list[dict[str, Any]]:
    """Name the expression of every face in a photo.

    Args:
        photo: The image file.
        model: One that /models lists, or that fer_hub published on the Hugging Face Hub: owner/name.
        whole_image: Take the whole image as one face, without detection.

    Returns:
        One object per face, most certain face first: label, confidence, scores by label, box, points and score of the
        detection.
    """
    return [found.to_dict() for found in SHELF.get(model)(read(uploaded(photo)), whole_image=whole_image)]


def annotated(photo: gr.FileData, model: str = DEFAULT_MODEL, language: str = "en") -> str:
    """Draw the faces of a photo and their expressions.

    Args:
        photo: The image file.
        model: One that /models lists, or that fer_hub published on the Hugging Face Hub: owner/name.
        language: Of the labels: en or tr.

    Returns:
        The annotated picture, a JPEG as a data URL.
    """
    image = read(uploaded(photo))
    return page.jpeg_uri(draw(image, SHELF.get(model)(image), language))


def compare(photo: gr.FileData, models: list[str], whole_image: bool = False) -> dict[str, Any]:
    """Ask several models for the expressions of the same faces.

    Args:
        photo: The image file.
        models: One to four that /models lists, or that fer_hub published on the Hugging Face Hub: owner/name.
        whole_image: Take the whole image as one face, without detection.

    Returns:
        The faces, each model's predictions and time, and how far the models agree.
    """
    image = read(uploaded(photo))
    return compare_models(SHELF.several(models, MAX_COMPARED), image, whole_image=whole_image).to_dict()


def explanation(
    photo: gr.FileData, method: str = "occlusion", label: str = "", face: int = 1, model: str = DEFAULT_MODEL
) -> dict[str, Any]:
    """Show what a model's answer for one face hangs on.

    Args:
        photo: The image file.
        method: grad-cam, lime or occlusion.
        label: The expression to explain; empty: the most probable one.
        face: Its number, 1 for the most certain face; 0: the whole image.
        model: One that /models lists, or that fer_hub published on the Hugging Face Hub: owner/name.

    Returns:
        label, its probability, and picture: a JPEG as a data URL, orange for and blue against the label (Grad-CAM
        shows only what is for it).
    """
    image, loaded = read(uploaded(photo)), SHELF.get(model)
    faces = loaded.faces(image, whole_image=face == 0)
    if not 0 <= face <= len(faces):
        raise ChoiceError(f"face is {face}, but {len(faces)} were found. Give a number from 1 to that, or 0.")
    try:
        made = explain(loaded.classifier, loaded.crop(image, faces[max(face, 1) - 1]), method, label or None)
    except ValueError as error:
        raise error if isinstance(error, ModelError) else ChoiceError(str(error)) from error
    picture = page.jpeg_uri(made.overlay(side=240), 92)
    return {"method": made.method, "label": made.label, "probability": made.probability, "picture": picture}


def timeline(clip: gr.FileData, model: str = DEFAULT_MODEL) -> dict[str, Any]:
    """Follow the expressions of every person through a video.

    Args:
        clip: The video file, of ten minutes at most.
        model: One that /models lists, or that fer_hub published on the Hugging Face Hub: owner/name.

    Returns:
        For each person the share of time and the mean scores by expression, and the scores over time.
    """
    loaded = SHELF.get(model)
    kept = Timeline(loaded.labels)
    for _ in annotate(uploaded(clip), loaded, None, kept, max_seconds=MAX_VIDEO_SECONDS):
        pass
    return kept.to_dict()


def models() -> list[dict[str, Any]]:
    """List the models that are offered, with what their own files say of them."""
    return [described(model) for model in SHELF.offered]


ENDPOINTS = {predict: "api", annotated: "api", compare: "api", explanation: "explain", timeline: "video", models: "api"}
"""Functions, and whom they share their turn with."""


# ── the app ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def on_model(model: str, request: gr.Request) -> str:
    """Load a model when it is chosen, and say what it is."""
    return page.model_line(SHELF.get(model).info, spoken(request))


def build_demo(more_models: Sequence[str] = ()) -> gr.Blocks:
    """The whole app, not yet launched.

    Args:
        more_models: Folders and Hub ids to offer beside the embedded models.

    Raises:
        ModelError: One of them cannot be loaded.
    """
    SHELF.offer(more_models)
    with gr.Blocks(title="fer_hub", delete_cache=(SWEPT, KEPT)) as demo:
        gr.Markdown("# fer_hub")
        gr.Markdown(t("intro"))
        with gr.Row(equal_height=True):
            model = gr.Dropdown(
                SHELF.offered, value=DEFAULT_MODEL, allow_custom_value=True, label=t("model"), elem_id="model"
            )
            about_model = gr.Textbox(label=t("about_model"), interactive=False, elem_id="about-model")
        listen(model.change, on_model, model, about_model, "load")
        for name, build in (("image", image_tab), ("webcam", webcam_tab), ("video", video_tab)):
            with gr.Tab(t(f"tab.{name}"), id=name):
                build(model)
        with gr.Tab(t("tab.compare"), id="compare"):
            compare_tab()
        with gr.Tab(t("tab.explain"), id="explain"):
            explain_tab()
        with gr.Tab(t("tab.models"), id="models"):
            board, card_text, card_model = models_tab()
        with gr.Tab(t("tab.about"), id="about"):
            gr.Markdown(t("about"), elem_id="about")
        for handler, inputs, outputs in (
            (on_model, model, about_model),
            (on_board, None, board),
            (on_card, card_model, card_text),
        ):
            listen(demo.load, handler, inputs, outputs, "load", show_progress="hidden")
        demo.unload(on_leave)
        for endpoint, kind in ENDPOINTS.items():
            gr.api(told(endpoint, str), api_name=endpoint.__name__, concurrency_limit=LIMITS[kind], concurrency_id=kind)
    return demo


def theme() -> gr.Theme:
    """System fonts only: nothing is fetched from elsewhere."""
    return gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def named_models() -> list[str]:
    """The models on the command line and in models.txt."""
    lines = MODELS.read_text(encoding="utf-8").splitlines() if MODELS.is_file() else []
    return [*sys.argv[1:], *(line.strip() for line in lines if line.strip())]


def keep_memory_small() -> None:
    """Let all threads share two of glibc's heaps: one for each thread would grow to hundreds of megabytes."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc and hasattr(libc, "mallopt"):
        libc.mallopt(-8, 2)  # M_ARENA_MAX


def main() -> None:
    """Launch on GRADIO_SERVER_NAME and GRADIO_SERVER_PORT (127.0.0.1:7860), with the models named beside ours."""
    keep_memory_small()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped service clears up as after Ctrl-C
    try:
        demo = build_demo(named_models())
    except ModelError as error:
        sys.exit(f"error: {error}")
    demo.queue(max_size=64).launch(
        share=False,
        theme=theme(),
        css_paths=ASSETS / "app.css",
        head="".join(f"<script>{(ASSETS / name).read_text(encoding='utf-8')}</script>" for name in SCRIPTS),
        i18n=I18N,
        max_file_size=f"{MAX_UPLOAD_MEGABYTES}mb",
        mcp_server=True,
        show_error=True,
        footer_links=["api"],
    )


if __name__ == "__main__":
    main()
