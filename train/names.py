"""Names with an argument, as "hybrid:3000" or "focal:1.5", looked up in a registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


def split_name(name: str) -> tuple[str, str | None]:
    """ "hybrid:3000" → ("hybrid", "3000"); without a colon the argument is None."""
    base, colon, argument = name.partition(":")
    return base, argument if colon else None


def known(kind: str, name: str, registry: Mapping[str, Entry]) -> tuple[Entry, str | None]:
    """The entry of a name, and the argument that the name holds.

    Args:
        kind: What the registry holds, for the error ("sampling").
        name: The name, with its argument if it has one.
        registry: Entries by the part before the colon.

    Raises:
        ValueError: The registry has no such name.
    """
    base, argument = split_name(name)
    if base not in registry:
        raise ValueError(f"Unknown {kind} {name!r}. Known: {', '.join(registry)}.")
    return registry[base], argument


def refuse_argument(kind: str, name: str, argument: str | None) -> None:
    """Say that a name takes no argument.

    Raises:
        ValueError: It was given one.
    """
    if argument is not None:
        raise ValueError(f"{kind.capitalize()} {name!r} takes no argument, got {name}:{argument}. Give {name}.")
