from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from time import perf_counter

import pytest
from markdown_it import MarkdownIt
from PIL import Image as PILImage

from fer_hub.hub import ZOO
from fer_hub.markdown import LONGEST, PICTURE_BYTES, PICTURES, harmless

EXPECTED = {
    "p",
    "h1",
    "h2",
    "h3",
    "a",
    "img",
    "pre",
    "code",
    "em",
    "strong",
    "ul",
    "ol",
    "li",
    "table",
    "thead",
    "tbody",
}
EXPECTED |= {"tr", "th", "td", "blockquote", "hr", "br", "s"}
"""What Markdown itself becomes."""
ATTRIBUTES = {"href", "src", "alt", "title", "class", "style", "start"}


class Elements(HTMLParser):
    """Tags, attributes and addresses of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.targets: list[str] = []
        self.sources: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.targets += [str(value) for name, value in attrs if name == "href"]
        self.sources += [str(value) for name, value in attrs if name == "src"]


def rendered(text: str) -> Elements:
    """The page that a renderer makes which lets HTML and any link through."""
    renderer = MarkdownIt("gfm-like", {"html": True, "linkify": False})
    renderer.validateLink = lambda url: True  # type: ignore[method-assign]
    return Elements(renderer.render(text))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with pictures, small and large, and files that are none; and one beside it."""
    model = tmp_path / "model"
    (model / "figures").mkdir(parents=True)
    for path in (model / "figures" / "a b.png", model / "c.JPG", tmp_path / "beside.png"):
        PILImage.new("RGB", (4, 4)).save(path)
    (model / "large.png").write_bytes(bytes(PICTURE_BYTES))
    (model / "config.json").write_text("{}")
    (model / "x.svg").write_text("<svg/>")
    return model


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("---\nlicense: mit\n---\n# Title", "# Title"),
        ("\ufeff---\r\nlicense: mit\r\n---\r\n# Title", "# Title"),
        ("---\n---\ntext", "text"),
        ("text\n\n---\nmore\n---\n", "text\n\n---\nmore\n---"),
        ("a <script>alert(1)</script> b", "a  b"),
        ("a <SCRIPT src=x\n>alert(1)</script\n> b", "a  b"),
        ("<style>p {color: red}</style>text", "text"),
        ("<!-- hidden\n\n<b> -->text", "text"),
        ('<img src=x onerror="alert(1)">text', "text"),
        ("<details><summary>More</summary>text</details>", "Moretext"),
        ("<scr<b>ipt>alert(1)</script>", "&lt;script>alert(1)"),
        ("1 < 2 and 3 > 2", "1 &lt; 2 and 3 > 2"),
        ("`<owner>/<name>` and `code`", "&lt;owner>/&lt;name> and `code`"),
        ("<https://x.org/a> and <mailto:a@b.c>", "https://x.org/a and mailto:a@b.c"),
        ("[a](https://x.org) [b](mailto:a@b.c)", "[a](https://x.org) [b](mailto:a@b.c)"),
        ('[a](HTTP://x.org "title")', '[a](HTTP://x.org "title")'),
        ("[a](javascript:alert(1))", "[a]\\(javascript:alert(1))"),
        ("[a](javascript:alert)", "a"),
        ("[a](<javascript:alert(1)>)", "a"),
        ("[a](java&#115;cript:alert)", "a"),
        ("[a](data:text/html;base64,AA)", "a"),
        ("[a](vbscript:x) [b](file:///etc/passwd) [c](//x.org)", "a b c"),
        ("[a](onnx/model.onnx) [b](#results)", "a b"),
        ("[a][b]\n\n[b]: javascript:alert", "[a][b]\n\n[b]\\: javascript:alert"),
        ("[a][b]\n\n[b]: https://x.org", "[a][b]\n\n[b]: https://x.org"),
        ("![alt](https://x.org/a.png)", "alt"),
        ('![alt text](http://x.org/a.png "title")', "alt text"),
        ("![](https://x.org/a.png)text", "text"),
        ("![alt][b]\n\n[b]: https://x.org/a.png", "alt\n\n[b]: https://x.org/a.png"),
        ("![b]\n\n[b]: https://x.org/a.png", "[b]\n\n[b]: https://x.org/a.png"),
        ("[![badge](https://x.org/b.svg)](https://x.org)", "[badge](https://x.org)"),
        ("![a [b] c](https://x.org/a.png)", "[a [b] c](https://x.org/a.png)"),
        ("!![](x)[b](https://x.org/a.png)", "[b](https://x.org/a.png)"),
        ("[!](x)[b](https://x.org/a.png)", "[b](https://x.org/a.png)"),
        ("!<b></b>[b](https://x.org/a.png)", "b"),
        ("![alt](gone.png) ![b](../beside.png) ![c](/etc/x.png)", "alt b c"),
        ("![alt](large.png) ![b](config.json) ![c](x.svg)", "alt b c"),
        ("```html\n<script>1</script>\n```", "```html\n<script>1</script>\n```"),
        ("~~~\n```\n<b>\n```\n~~~", "````\n```\n<b>\n```\n````"),
        ("  ```py x=1\n  a\n  ```", "```py\na\n```"),
        ("```\n<b>", "```\n<b>\n```"),
        ("```\r<b>\r```\r<b>x", "```\n<b>\n```\nx"),
        ("a\u2028```\n<b>x</b>", "a\u2028``\nx"),
        ("> ```\n> <b>x</b>", "> ``\n> x"),
        ("", ""),
    ],
)
def test_what_becomes_of_it(given: str, expected: str, folder: Path) -> None:
    assert harmless(given, folder) == f"{expected}\n"


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe src=https://x.org>",
    "[x](javascript:alert(1))",
    "[x](\njavascript:alert)",
    "[x]( \tjavascript:alert)",
    "[x][y]\n\n[y]: javascript:alert\n[y]:\n  javascript:alert",
    "![x](https://x.org/a.png)",
    "![x][y]\n\n[y]: https://x.org/a.png",
    "![x [y](https://x.org/b)](https://x.org/a.png)",
    "![![x](y)](https://x.org/a.png)",
    "![x]\\(https://x.org/a.png)![y](https://x.org/a.png)",
]
COVERS = [
    "{}",
    "\\`{}\\`",
    "`{}`",
    "``a` {} ``",
    "`a\n{}\n`",
    "> {}",
    "- a\n\n      {}",
    "1. ```\n{}\n   ```",
    "- ```\n{}\n",
    "> ```\n{}\n> ```",
    "```\n````\n{}\n```\n{}",
    "````\n```\n{}\n````\n{}",
    "~~~ `\n```\n{}\n~~~`\n{}\n```\n{}",
    "~~~\n{}\n```\n{}\n~~~\n{}",
    "```\n```~~~\n{}\n",
    "\t```\n{}\n\t```",
    "a\r```\r{}\r```\r{}",
    "a\x0b```\n{}\n```\n{}",
    "a\x85```\n{}",
    "<!-- {} -->{}",
    "<!-- <!-- --> {} -->",
    "<div>\n```\n{}\n```\n</div>{}",
    "<script>\n```\n</script>{}\n```\n{}",
    "|a|b|\n|-|-|\n|{}|`{}`|",
    "---\nx: 1\n{}",
    "<b {} >",
    "!{}",
    "[a{}](https://x.org)",
    "\0{}\0" + "0\0",
]


@pytest.mark.parametrize("cover", COVERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_runs_and_nothing_is_fetched(attack: str, cover: str, folder: Path) -> None:
    raw = cover.replace("{}", attack)
    found = rendered(harmless(raw, folder))
    assert found.tags <= EXPECTED, harmless(raw, folder)
    assert found.attributes <= ATTRIBUTES
    assert all(target.startswith(("https://", "http://", "mailto:")) for target in found.targets)
    assert found.sources == []


def test_without_it_these_attacks_would_work() -> None:
    for attack in ATTACKS:
        found = rendered(attack)
        is_link = any(not target.startswith("https") for target in found.targets)
        assert found.tags - EXPECTED or found.attributes - ATTRIBUTES or is_link or found.sources, attack


def test_pictures_of_the_folder_are_embedded(folder: Path) -> None:
    text = harmless("![a](figures/a%20b.png) and ![b c](./c.JPG)", folder)
    assert re.fullmatch(r"!\[a\]\(data:image/png;base64,[\w+/=]+\) and !\[b c\]\(data:image/jpeg;base64,\S+\)\n", text)
    assert len(rendered(text).sources) == 2
    assert harmless("![a](c.JPG)") == "a\n"
    many = rendered(harmless("![a](c.JPG) " * (PICTURES + 5), folder))
    assert len(many.sources) == PICTURES


def test_the_card_of_the_zoo_looks_as_before() -> None:
    for path in ZOO.glob("*/README.md"):
        original = path.read_text(encoding="utf-8")
        text = harmless(original, path.parent)
        assert rendered(text).tags <= EXPECTED
        assert all(source.startswith("data:image/png;base64,") for source in rendered(text).sources)
        assert len(rendered(text).sources) == original.count("![")
        for part in re.findall(r"^#+ .*$|^\|.*\|$", original.partition("\n---\n")[2], re.MULTILINE):
            assert re.sub(r"\[(.*?)\]\([\w./]+\)", r"\1", part) in text


@pytest.mark.parametrize(
    "piece",
    ["`", "~", "~~~a", "<", "<!--", "<script", "<a ", "![a](", "![", "!", "[", "]:", "](", "\n```", "---\n", " "],
)
def test_long_texts_of_one_piece_take_no_longer_than_their_length(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece)) + "`"
        started = perf_counter()
        harmless(text)
        return perf_counter() - started

    short = max(seconds(LONGEST // 20) for _ in range(2))
    assert seconds(LONGEST) < 200 * max(short, 1e-3)  # 20 times as long; by its square it would be 400


def test_what_is_too_long_is_cut_off() -> None:
    assert len(harmless("a" * (LONGEST + 10))) == LONGEST + 1
