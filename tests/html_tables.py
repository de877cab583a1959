"""The tables of an HTML page as text."""

from __future__ import annotations

from html.parser import HTMLParser


class Tables(HTMLParser):
    """Rows of cells by the label of the region that a table lies in; several tables of one label follow each other."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, list[list[str]]] = {}
        self._label, self._open = "", set[str]()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("role") == "region":
            self._label = given["aria-label"] or ""
            self.found.setdefault(self._label, [])
        if "tbody" in self._open and tag == "tr":
            self.found[self._label].append([])
        if "tbody" in self._open and tag in ("td", "th"):
            self.found[self._label][-1].append("")
        if "td" in self._open and tag == "small":
            self.found[self._label][-1][-1] += " | "
        if tag in ("tbody", "td", "th"):
            self._open.add(tag)

    def handle_endtag(self, tag: str) -> None:
        self._open.discard(tag)

    def handle_data(self, data: str) -> None:
        if "tbody" in self._open and self._open & {"td", "th"}:
            self.found[self._label][-1][-1] += data.strip().replace("\N{NO-BREAK SPACE}", " ")

    def rows(self, start: str) -> list[list[str]]:
        """All rows, without those of the heads, of the tables whose label begins so."""
        (label,) = [label for label in self.found if label.startswith(start)]
        return self.found[label]
