"""The Gradio app: expressions in photos and on the live camera. `python app.py [MODEL …]`."""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

import html
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from fer_hub import FaceDetector, ImageError, ModelError, Prediction, Recognizer
from fer_hub.hub import zoo_models
from fer_hub.image import draw, read
from fer_hub.labels import COLORS, display
from fer_hub.tracking import smooth

EXAMPLES = sorted((Path(__file__).parent / "fer_hub" / "assets" / "examples").glob("*.jpg"))
MODELS = Path(__file__).with_name("models.txt")
"""Folders and Hub ids to offer, a line each; a Space has one."""
MAX_UPLOAD = "30mb"
CSS = """
.score {display: grid; grid-template-columns: 6em 1fr 3.5em; gap: .5em; align-items: center; margin: .15em 0}
.score .bar {background: color-mix(in srgb, currentColor 12%, transparent); border-radius: 3px; height: .9em}
.score .bar > div {border-radius: 3px; height: 100%}
.score .share {text-align: right; font-variant-numeric: tabular-nums}
#examples .grid-container {--grid-cols: 5 !important}
.face {border: 1px solid var(--border-color-primary); border-radius: 8px; padding: .7em 1em; margin-bottom: .7em}
.face h3 {margin: 0 0 .4em; font-size: 1.1em}
"""
INTRO = """# fer_hub
What expression does a face show? Pictures are processed by this app's own server and deleted within minutes.
An expression is not a feeling: the label says how a face looks to the model, not what the person feels.
"""


@lru_cache(maxsize=1)
def detector() -> FaceDetector:
    """The one detector that all models and visitors share."""
    return FaceDetector(min_face_size=40)


@lru_cache(maxsize=4)
def recognizer(model: str) -> Recognizer:
    """A loaded model: a name of the zoo, a folder or a Hub id."""
    return Recognizer.from_pretrained(model, detector=detector())


def on_image(photo: str | None, model: str, whole_image: bool) -> tuple[np.ndarray | None, str, list[dict[str, Any]]]:
    """Name the expression of every face in a photo.

    Args:
        photo: The image file.
        model: A name of the zoo, a model folder or a Hub id.
        whole_image: Take the whole image as one face, without detection.

    Returns:
        The annotated image, score bars as HTML, and the predictions as JSON.
    """
    if not photo:
        return None, "", []
    try:
        image = read(photo)
        started = time.perf_counter()
        predictions = recognizer(model)(image, whole_image=whole_image)
        seconds = time.perf_counter() - started
    except (ImageError, ModelError, ValueError) as error:
        raise gr.Error(_without_path(str(error), photo)) from error
    return draw(image, predictions), faces_html(predictions, seconds), [p.to_dict() for p in predictions]


def on_example(chosen: gr.SelectData) -> str:
    """The path of the example photo that was clicked."""
    return str(EXAMPLES[chosen.index])


def on_frame(
    frame: np.ndarray | None, model: str, smoothing: float, before: list[Prediction]
) -> tuple[np.ndarray | None, str, list[Prediction]]:
    """Name the expression of every face in a camera frame, smoothed over the visitor's past frames."""
    if frame is None:
        return None, "", []
    try:
        started = time.perf_counter()
        predictions = smooth(before, recognizer(model)(frame), smoothing)
        seconds = time.perf_counter() - started
    except (ImageError, ModelError, ValueError) as error:
        raise gr.Error(str(error)) from error
    return draw(frame, predictions), faces_html(predictions, seconds), predictions


def on_model(model: str) -> str:
    """Load a model when it is chosen, and say what it is."""
    try:
        return model_line(recognizer(model))
    except (ModelError, ValueError) as error:
        raise gr.Error(str(error)) from error


def model_line(loaded: Recognizer) -> str:
    """One line on a model: network, input, measured accuracy."""
    info = loaded.info
    test = info.fer.get("metrics", {}).get("test")
    size = f"{info.input.size[1]}×{info.input.size[0]}"
    measured = f"test accuracy {test['accuracy']:.1%} (n = {test['n']})" if test else "accuracy not stated"
    return f"{info.architecture}, input {size}, {measured}"


def faces_html(predictions: Sequence[Prediction], seconds: float) -> str:
    """Score bars of every face."""
    if not predictions:
        return '<p class="none">No face found. Try a larger or more frontal face, or take the whole image as one.</p>'
    cards = "".join(_card(number, prediction) for number, prediction in enumerate(predictions, 1))
    return f"{cards}<p>{len(predictions)} face{'s' * (len(predictions) != 1)}, {seconds * 1000:.0f} ms</p>"


def _card(number: int, prediction: Prediction) -> str:
    ranked = sorted(prediction.scores.items(), key=lambda item: -item[1])
    title = f"Face {number}: {display(prediction.label)} {prediction.confidence:.0%}"
    return f'<div class="face"><h3>{html.escape(title)}</h3>{"".join(_bar(*item) for item in ranked)}</div>'


def _bar(label: str, score: float) -> str:
    return (
        f'<div class="score"><span>{html.escape(display(label))}</span>'
        f'<div class="bar"><div style="width:{score:.1%};background:{COLORS[label]}"></div></div>'
        f'<span class="share">{score:.1%}</span></div>'
    )


def _without_path(message: str, path: str) -> str:
    """An error about an uploaded file, without the server's path to it."""
    return message.replace(path, Path(path).name)


def photo_input(**options: Any) -> gr.Image:
    """An image input that hands the uploaded file on unread: reading and its errors are `fer_hub.image`'s.

    gr.Image decodes by itself, and its errors reach nobody. The one method is replaced, since for a subclass
    gradio writes a stub file into the source folder. (gr.Examples would make a new gr.Image of it: use a gallery.)
    """
    photo = gr.Image(sources=["upload", "clipboard"], **options)
    photo.preprocess = lambda payload: payload.path if payload else None
    return photo


def image_tab(model: gr.Dropdown) -> None:
    """Upload, paste or pick an example; boxes, labels and score bars."""
    with gr.Row():
        with gr.Column():
            photo = photo_input(label="Photo", elem_id="photo", alt_text="Your photo")
            whole_image = gr.Checkbox(False, label="Take the whole image as one face")
            gr.Markdown("Examples")
            examples = gr.Gallery(
                EXAMPLES,
                show_label=False,
                elem_id="examples",
                interactive=False,
                allow_preview=False,
                height=130,
                buttons=[],
            )
        with gr.Column():
            annotated = gr.Image(label="Faces", interactive=False, elem_id="annotated", alt_text="Faces and labels")
            bars = gr.HTML(elem_id="bars")
            with gr.Accordion("JSON", open=False):
                data = gr.JSON(label="Predictions", show_label=False)
    outputs: list[Any] = [annotated, bars, data]
    inputs: list[Any] = [photo, model, whole_image]
    examples.select(on_example, None, photo, api_visibility="private")
    photo.change(on_image, inputs, outputs, api_name="predict", show_progress="minimal")
    for changed in (model, whole_image):
        changed.change(on_image, inputs, outputs, api_visibility="private", show_progress="minimal")


def webcam_tab(model: gr.Dropdown) -> None:
    """The live camera; what the past frames said of each face stays with the visitor's own session."""
    before = gr.State([])
    with gr.Row():
        with gr.Column():
            camera = gr.Image(
                label="Camera", sources=["webcam"], streaming=True, elem_id="camera", alt_text="Your camera"
            )
            smoothing = gr.Slider(0, 0.95, 0.6, step=0.05, label="Smoothing", info="Share of the past in each score")
        with gr.Column():
            live = gr.Image(
                label="Live", interactive=False, streaming=True, elem_id="live", alt_text="Live faces and labels"
            )
            bars = gr.HTML(elem_id="live-bars")
    camera.stream(
        on_frame,
        [camera, model, smoothing, before],
        [live, bars, before],
        stream_every=0.1,
        time_limit=600,
        concurrency_limit=4,
        show_progress="hidden",
        api_visibility="private",
    )


def build_demo(more_models: Sequence[str] = ()) -> gr.Blocks:
    """The whole app, not yet launched.

    Args:
        more_models: Folders and Hub ids to offer beside the embedded models. Visitors choose among these only:
            a path typed by a visitor would be a path of the server.

    Raises:
        ModelError: One of them cannot be loaded.
    """
    models = list(dict.fromkeys([*zoo_models(), *more_models]))
    for model in more_models:
        recognizer(model)
    with gr.Blocks(title="fer_hub: facial expressions", delete_cache=(60, 300)) as demo:
        gr.Markdown(INTRO)
        with gr.Row(equal_height=True):
            model = gr.Dropdown(models, value=models[0], label="Model", elem_id="model")
            about = gr.Textbox(model_line(recognizer(models[0])), label="About the model", interactive=False)
        model.change(on_model, model, about, api_visibility="private", show_progress="minimal")
        with gr.Tab("Image"):
            image_tab(model)
        with gr.Tab("Webcam"):
            webcam_tab(model)
    return demo


def theme() -> gr.Theme:
    """System fonts only: nothing is fetched from elsewhere."""
    return gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def named_models() -> list[str]:
    """The models on the command line and in models.txt."""
    lines = MODELS.read_text(encoding="utf-8").splitlines() if MODELS.is_file() else []
    return [*sys.argv[1:], *(line.strip() for line in lines if line.strip())]


def main() -> None:
    """Launch on GRADIO_SERVER_NAME and GRADIO_SERVER_PORT (127.0.0.1:7860), with the models named beside ours."""
    try:
        demo = build_demo(named_models())
    except ModelError as error:
        sys.exit(f"error: {error}")
    demo.queue(max_size=64).launch(share=False, theme=theme(), css=CSS, max_file_size=MAX_UPLOAD, footer_links=["api"])


if __name__ == "__main__":
    main()
