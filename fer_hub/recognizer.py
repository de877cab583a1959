"""Recognizer: an image, a batch or a frame in, the expression of every face out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

from .classifier import BATCH, Classifier, classify, load_classifier
from .classifier import Source as Model
from .download import Place
from .faces import FaceDetector
from .image import Source, crop, read
from .types import Face, Image, ImageError, ModelInfo, Prediction


class Recognizer:
    """Finds faces and names their expressions.

    >>> recognizer = Recognizer.from_pretrained()
    >>> [prediction.label for prediction in recognizer("photo.jpg")]
    """

    def __init__(self, classifier: Classifier, detector: FaceDetector | None = None) -> None:
        """Put a classifier and a detector together; None: a `FaceDetector` for faces of 40 pixels and more."""
        self.classifier = classifier
        self.detector = detector or FaceDetector(min_face_size=40)

    @classmethod
    def from_pretrained(
        cls,
        source: Model | Sequence[Model] = None,
        *,
        views: str = "none",
        labels: str | Sequence[str] | None = None,
        runtime: str = "onnx",
        variant: str = "fp32",
        threads: int | None = None,
        detector: FaceDetector | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | None = None,
        local_files_only: bool = False,
    ) -> Recognizer:
        """Load a model.

        Args:
            source: None for the embedded default model, a name of the zoo, a model folder, or a Hub id
                ``owner/name``; several of these make an ensemble, which averages their probabilities.
            views: Test-time augmentation: "flip" averages over the face and its mirror image, "tencrop" over ten
                crops of it; "none": as the model has it.
            labels: In which expressions are named: a label space ("fer2013-7", "ferplus-8", "basic-5") or label
                names; None: the model's own. Probabilities of other labels are taken away and the rest is scaled up
                to 1; for a label that the model does not know there is a warning.
            runtime: "onnx", or "torch" (needs the extra `torch`).
            variant: Of the ONNX file: "fp32", "fp16", "int8" where they were published, or "auto" for the one that
                was measured fastest when it was exported.
            threads: For the model; None: up to four.
            detector: Finds the faces; None: one for faces of 40 pixels and more.
            revision: Branch, tag or commit on the Hub; of several, of each.
            cache_dir: Where files of the Hub are kept; None: huggingface_hub's own place.
            token: Hub token for private repositories.
            local_files_only: Never ask the network.

        Raises:
            ModelError: No such model or variant, it is not to be had, or it is broken.
            ValueError: The run time, the variant, the views or a label is unknown.
        """
        place = Place(revision, cache_dir, token, local_files_only)
        classifier = load_classifier(
            source, runtime=runtime, variant=variant, threads=threads, place=place, views=views, labels=labels
        )
        return cls(classifier, detector)

    @property
    def info(self) -> ModelInfo:
        """What the model's config says of it."""
        return self.classifier.info

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the scores."""
        return self.info.labels

    @overload
    def __call__(self, image: Source, *, whole_image: bool = False) -> list[Prediction]: ...

    @overload
    def __call__(
        self, image: list[Source] | tuple[Source, ...], *, whole_image: bool = False
    ) -> list[list[Prediction]]: ...

    def __call__(
        self, image: Source | list[Source] | tuple[Source, ...], *, whole_image: bool = False
    ) -> list[Prediction] | list[list[Prediction]]:
        """Recognise the expression of every face.

        Args:
            image: A path, the bytes of a file, a PIL image, an H×W×3 uint8 RGB array, or a list of these.
                A list's images are read one after the other, its faces classified together, 64 at a time.
            whole_image: Take each image as one face, as it is; no detection, `face` is None.

        Returns:
            A list of predictions, most certain face first (empty where no face was found); for a list of
            images a list of such lists.

        Raises:
            ImageError: An image cannot be used; in a list, the message says which.
        """
        if isinstance(image, (list, tuple)):
            return self._recognise((_read_item(i, item) for i, item in enumerate(image)), whole_image)
        return self._recognise([read(image)], whole_image)[0]

    def _recognise(self, images: Iterable[Image], whole_image: bool) -> list[list[Prediction]]:
        """Image after image; crops wait until there are enough of them to be classified together."""
        faces: list[Sequence[Face | None]] = []
        waiting: list[Image] = []
        rows: list[list[float]] = []
        for image in images:
            faces.append(self.faces(image, whole_image))
            for face in faces[-1]:  # copied, since a view of the image would keep it in memory
                waiting.append(image if face is None else self.crop(image, face).copy())
            while len(waiting) >= BATCH:
                rows += self._probabilities(waiting[:BATCH])
                del waiting[:BATCH]
        return self._by_image(rows + self._probabilities(waiting), faces)

    def faces(self, image: Image, whole_image: bool = False) -> Sequence[Face | None]:
        """The faces of an H×W×3 uint8 RGB array; None stands for the whole image, where that is asked for."""
        return [None] if whole_image else self.detector.detect(image)

    def crop(self, image: Image, face: Face | None) -> Image:
        """A face as the model is given it, S×S×3; the image itself where `face` is None."""
        return image if face is None else crop(image, face, self.info.margin, self.info.alignment)

    def classify_faces(self, images: Sequence[Image], faces: Sequence[Sequence[Face | None]]) -> list[list[Prediction]]:
        """Classify faces that are already found, all of them together.

        Args:
            images: H×W×3 uint8 RGB arrays.
            faces: The faces of each image; None stands for the whole image.
        """
        crops = [self.crop(image, face) for image, its_faces in zip(images, faces, strict=True) for face in its_faces]
        return self._by_image(self._probabilities(crops), faces)

    def _probabilities(self, crops: Sequence[Image]) -> list[list[float]]:
        rows: list[list[float]] = classify(self.classifier, crops).tolist()
        return rows

    def _by_image(
        self, rows: Iterable[Sequence[float]], faces: Sequence[Sequence[Face | None]]
    ) -> list[list[Prediction]]:
        """Predictions of each image's faces; the probabilities are in the same order."""
        left = iter(rows)
        return [
            [Prediction.of(dict(zip(self.labels, next(left), strict=True)), face) for face in its_faces]
            for its_faces in faces
        ]


def _read_item(position: int, item: Source) -> Image:
    try:
        return read(item)
    except ImageError as error:
        raise ImageError(f"Image {position} of the list: {error}") from error
