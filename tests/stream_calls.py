"""The stream event of a Gradio app's camera, from the app's config, and what its outputs hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

PICTURE = re.compile(r"data:image/(?:jpeg|png|webp);base64,([A-Za-z0-9+/=]+)")
CAMERA = object()
"""Stands for the frame among the input values."""


def stream_call(config: Mapping[str, Any], camera: str) -> tuple[Mapping[str, Any], list[Any]]:
    """The stream event of a camera component and its input values, from the app's config.

    Returns:
        The dependency, and its inputs: CAMERA for the frame, the app's defaults for the others.
    """
    by_id = {component["id"]: component for component in config["components"]}
    for call in config["dependencies"]:
        for target, event in call["targets"]:
            if event == "stream" and by_id[target]["props"].get("elem_id") == camera:
                return call, [CAMERA if one == target else by_id[one]["props"].get("value") for one in call["inputs"]]
    raise LookupError(f"The app has no camera with elem_id {camera!r} and an event 'stream'.")


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def texts_of(outputs: list[Any]) -> Iterator[str]:
    """The outputs that are texts, pictures in them taken out."""
    for output in outputs:
        value = output.get("value") if isinstance(output, Mapping) and output.get("__type__") == "update" else output
        if isinstance(value, str) and (text := PICTURE.sub("", value)):
            yield text
