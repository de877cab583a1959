"""Models for visitors: those that are offered, and any of the Hub; each is loaded once, all share one detector."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from time import monotonic
from typing import NamedTuple

from .classifier import load_classifier
from .download import DEFAULT_PLACE, LOGIN, Place, status_of
from .faces import FaceDetector
from .hub import zoo_models
from .recognizer import Recognizer
from .types import ChoiceError, ModelError

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
MAX_MEGABYTES = 200.0
"""Of a file that a visitor makes the server fetch."""
AGAIN = 30.0
"""Seconds after which a model that could not be loaded is tried again: a camera asks at every frame."""
REFUSED = (401, 403, 404)
"""What the Hub answers where a model is not there, or not for everybody."""
FAILURES = 64
"""Such models that are remembered."""


class Loaded(NamedTuple):
    """A model in memory, and the folder of its files where it is the shelf's own."""

    recognizer: Recognizer
    folder: TemporaryDirectory[str] | None = None


class Shelf:
    """Loaded models by name.

    Attributes:
        offered: Names of the zoo, and what `offer` added, to choose from.
        detector: The one that all of them share.
    """

    def __init__(self, most: int = 16) -> None:
        """Offer the zoo; nothing is loaded yet.

        Args:
            most: Models in memory at once; of more, the one that was not asked for the longest is put away.
        """
        self.offered = zoo_models()
        self.detector = FaceDetector(min_face_size=40)
        self._most, self._lock = most, Lock()
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._failed: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._gates = [Lock() for _ in range(32)]
        self._sources: dict[str, str] = {}

    def offer(self, names: Sequence[str]) -> None:
        """Offer folders and Hub ids, too, as whoever starts the app names them; each is loaded.

        A folder is offered by its own name (a run's, by the run's): visitors are not shown where it lies.

        Raises:
            ModelError: One of them cannot be loaded.
        """
        for source in names:
            if source in self.offered or source in self._sources.values():
                continue
            loaded, name = Loaded(self._load(source)), self._name(source)
            self._sources[name] = source
            self.offered.append(name)
            self._keep(name, loaded)

    def _name(self, source: str) -> str:
        if not os.path.isdir(source):
            return source
        folder = Path(source).resolve()
        name = folder.parent.name if folder.name == "model" else folder.name
        taken = sum(each == name or each.startswith(f"{name} (") for each in self.offered)
        return f"{name} ({taken + 1})" if taken else name

    def source(self, name: str) -> str:
        """Where the model that is offered by this name is loaded from."""
        return self._sources.get(name, name)

    def get(self, name: str) -> Recognizer:
        """A model that a visitor named: one that is offered, or any of the Hub; never another path of the server.

        Raises:
            ModelError: It is none of these, or cannot be loaded.
        """
        name = name.strip()
        if name not in self.offered and (not HUB_ID.fullmatch(name) or os.path.exists(name)):
            raise ModelError(
                f"{name!r} is neither offered here ({', '.join(self.offered)}) nor an id of the Hub: owner/name."
            )
        if known := self._known(name):
            return known
        with self._gates[hash(name) % len(self._gates)]:  # who asks for the same model meanwhile waits for this one
            return self._known(name) or self._keep(name, self._fetch(name))

    def _known(self, name: str) -> Recognizer | None:
        with self._lock:
            if name in self._loaded:
                self._loaded.move_to_end(name)
                return self._loaded[name].recognizer
            reason, until = self._failed.get(name, ("", 0.0))
        if monotonic() < until:
            raise ModelError(reason)
        return None

    def _fetch(self, name: str) -> Loaded:
        """Load a model, or remember for a while why not."""
        try:
            return Loaded(self._load(self.source(name))) if name in self.offered else self._borrow(name)
        except ModelError as error:
            reason = str(error).replace(self.source(name), name)
            with self._lock:
                self._failed[name] = reason, monotonic() + AGAIN
                while len(self._failed) > FAILURES:
                    self._failed.popitem(last=False)
            raise ModelError(reason) from error

    def _borrow(self, name: str) -> Loaded:
        """A public model of the Hub in a folder of its own, which goes when the model is put away.

        Never with the token of whoever runs the app, whose private models are not the visitors'. Where the Hub cannot
        be asked, what that person has in the cache is taken.
        """
        folder = TemporaryDirectory(prefix="fer-hub-model-")
        try:
            place = Place(cache_dir=folder.name, token=False, max_megabytes=MAX_MEGABYTES)
            return Loaded(self._load(name, place), folder)
        except ModelError as error:
            folder.cleanup()
            if status_of(error) not in REFUSED:
                try:
                    return Loaded(self._load(name, Place(local_files_only=True)))  # whoever runs the app has it already
                except ModelError:
                    pass
            raise ModelError(str(error).replace(LOGIN, f"start the app with it: python app.py {name}")) from error

    def _load(self, source: str, place: Place = DEFAULT_PLACE) -> Recognizer:
        return Recognizer(
            load_classifier(source, threads=1, place=place), self.detector
        )  # all visitors share the cores

    def _keep(self, name: str, loaded: Loaded) -> Recognizer:
        with self._lock:
            self._loaded[name] = loaded
            old = [self._loaded.popitem(last=False)[1] for _ in range(len(self._loaded) - self._most)]
        for each in old:
            if each.folder:
                each.folder.cleanup()
        return loaded.recognizer

    def several(
        self, names: Sequence[str], most: int, on_error: Callable[[ModelError], object] | None = None
    ) -> dict[str, Recognizer]:
        """The models that can be loaded, by name.

        Args:
            names: One to `most`, each once.
            most: How many are allowed.
            on_error: Is told of each model that cannot be loaded; None: the first such error is raised.

        Raises:
            ChoiceError: None was named, or too many.
            ModelError: None of them can be loaded.
        """
        wanted = list(dict.fromkeys(name.strip() for name in names if name.strip()))
        if not 1 <= len(wanted) <= most:
            raise ChoiceError(f"{len(wanted)} models were chosen; choose 1 to {most}.")
        loaded: dict[str, Recognizer] = {}
        errors: list[ModelError] = []
        for name in wanted:
            try:
                loaded[name] = self.get(name)
            except ModelError as error:
                errors.append(error)
        if errors and (not loaded or on_error is None):
            raise errors[0]
        if on_error is not None:
            for problem in errors:
                on_error(problem)
        return loaded
