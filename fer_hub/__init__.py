"""Facial-expression recognition: find faces, name their expressions, on ONNX Runtime or torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .download import list_models
from .faces import FaceDetector
from .recognizer import Recognizer
from .types import Face, ImageError, ModelError, ModelInfo, Prediction

if TYPE_CHECKING:
    from .backbones import load_model

__version__ = "0.1.0"

__all__ = [
    "Face",
    "FaceDetector",
    "ImageError",
    "ModelError",
    "ModelInfo",
    "Prediction",
    "Recognizer",
    "list_models",
    "load_model",
]


def __getattr__(name: str) -> Any:
    """`load_model` needs torch and is therefore fetched only when asked for."""
    if name != "load_model":
        raise AttributeError(f"module 'fer_hub' has no attribute {name!r}")
    try:
        from .backbones import load_model
    except ImportError as error:
        raise ImportError(
            f'load_model needs {error.name}, which is not installed. pip install "fer_hub[torch]"'
        ) from error
    return load_model
