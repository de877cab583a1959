"""Markdown of strangers made harmless: no HTML, nothing fetched from elsewhere, links to the web alone.

Renderers differ in what they take for code. So nothing here rests on it: code blocks are fenced anew, by a longer run
of backticks than any in them, and outside of them there is no "<", no other fence and no picture but those embedded.
"""

from __future__ import annotations

import base64
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

LONGEST = 300_000
"""Characters of a text that are kept, at most."""
PICTURES, PICTURE_BYTES = 20, 300_000
"""Pictures that are embedded, and bytes of each, at most."""
TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp"}
"""Media types of pictures by suffix; no SVG, which can hold scripts."""

FRONT_MATTER = re.compile(r"\s*---[ \t]*\n(?:.*?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)
FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})")
LONG_RUN = re.compile(r"([`~])\1{2,}")
CODE = re.compile(r"(`{1,2})([^`\n]+)\1")
HIDDEN = re.compile(r"<!--(?:(?!<!--).)*?-->|<(script|style)\b(?:(?!<\1\b).)*?</\1\s*>", re.DOTALL | re.IGNORECASE)
AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^<>\s]+)>", re.IGNORECASE)
TAG = re.compile(r"</?[a-z][^<>]*>|<[!?][^<>]*>", re.IGNORECASE)
TITLE = r"(?:\s+\"[^\"\n]*\")?\s*"
IMAGE = re.compile(rf"!\[([^\[\]]*)\](?:\(([^\s()]*){TITLE}\)|\[[^\[\]]*\])")
LINK = re.compile(rf"\[([^\[\]]*)\]\(([^\s()]*){TITLE}\)")
STILL_IMAGE = re.compile(r"(?<!!)!+\[")
WEB = re.compile(r"https?://|mailto:", re.IGNORECASE)
OTHER_TARGET = re.compile(rf"\](?:\((?!{WEB.pattern})|:(?! *(?:{WEB.pattern})))", re.IGNORECASE)
"""Where a link, or the definition of one, may begin that does not lead to the web."""


def harmless(text: str, folder: Path | None = None) -> str:
    """A text without its front matter, and without what could do harm or reach out to elsewhere.

    Tags and comments are taken out, scripts and styles with their content. Links to anything but the web become their
    text; so do relative ones, which would lead into the page that shows it. Pictures become their alt text, but those
    that lie in the folder are embedded. Code blocks stay as they are.

    Args:
        text: Markdown; cut off after `LONGEST` characters.
        folder: Where the files beside the text are; None: nowhere.
    """
    text = text[:LONGEST].replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    found = FRONT_MATTER.match(text)
    pictures: list[str] = []
    parts = [
        _prose(part, folder, pictures) if language is None else _fenced(part, language)
        for language, part in _parts(text[found.end() :] if found else text)
    ]
    return re.sub("\0(\\d+)\0", lambda place: pictures[int(place[1])], "\n".join(parts)).strip() + "\n"


def _parts(text: str) -> Iterator[tuple[str | None, str]]:
    """Prose (None) and code blocks (their language), in turns."""
    lines: list[str] = []
    indent, fence, language = "", "", ""
    for line in text.split("\n"):
        opens = None if fence else FENCE.match(line)
        if opens and "`" not in line[opens.end() :]:
            yield None, "\n".join(lines)
            lines, (indent, fence), language = [], opens.groups(), _language(line[opens.end() :])
        elif fence and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            yield language, "\n".join(lines)
            lines, fence = [], ""
        else:
            lines.append(line.removeprefix(indent) if fence else line)
    yield (language if fence else None), "\n".join(lines)


def _language(rest: str) -> str:
    """The first word after a fence, if it can be the name of a language."""
    word = next(iter(rest.split()), "")
    return word if re.fullmatch(r"[\w+#-]+", word) else ""


def _fenced(code: str, language: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    return f"{fence}{language}\n{code}\n{fence}"


def _prose(text: str, folder: Path | None, pictures: list[str]) -> str:
    """Prose without tags, fences, pictures and targets off the web; puts what it embeds into `pictures`."""

    def picture(found: re.Match[str]) -> str:
        alt, data = " ".join(found[1].split()), None
        if len(pictures) < PICTURES:
            data = _data_url(folder, found[2] or "")
        if data is None:
            return alt
        pictures.append(f"![{alt}]({data})")
        return f"\0{len(pictures) - 1}\0"

    text = CODE.sub(_without_tags, LONG_RUN.sub(r"\1\1", text))
    text = AUTOLINK.sub(r"\1", HIDDEN.sub("", text))
    text = TAG.sub("", text).replace("<", "&lt;")
    text = LINK.sub(lambda link: link[0] if WEB.match(link[2]) else link[1], IMAGE.sub(picture, text))
    text = OTHER_TARGET.sub(lambda found: f"]\\{found[0][1:]}", text)
    return STILL_IMAGE.sub("[", text)  # last: what was taken out may have brought "!" and "[" together


def _without_tags(code: re.Match[str]) -> str:
    """What looks like code in a line; with a "<" in it, as text: in code, its escape would be read as it is."""
    return code[2].replace("<", "&lt;") if "<" in code[2] else code[0]


def _data_url(folder: Path | None, target: str) -> str | None:
    """A picture of the folder as an address that holds it; None for any other target, and for a large one.

    The file's bytes go in as they are: the fragments' `jpeg_uri` makes a new one, and they build on this module.
    """
    path = posixpath.normpath(unquote(target))
    kind = TYPES.get(posixpath.splitext(path)[1].lower())
    if folder is None or kind is None or path.startswith(("/", "..")) or ":" in path or "\\" in path:
        return None
    file = folder / path
    if not os.path.isfile(file) or file.stat().st_size >= PICTURE_BYTES:
        return None
    return f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
