"""Visitors of the app who stream their camera over HTTP as the browser does, many at once.

By hand, against a running app: `PYTHONPATH=. python tests/visitors.py --visitors 8 --seconds 60 URL`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from PIL import Image as PILImage
from scenes import film, read_mark
from stream_calls import CAMERA, PICTURE, stream_call, strings, texts_of

API = "/gradio_api"
GATE = "post"
"""What the app's page lets the browser do: see `Visitor`."""


@dataclass(frozen=True)
class Reply:
    """What came back for a frame.

    Attributes:
        mark: Visitor and number of the frame in the picture that came back; None where it was not looked at, or a box
            is drawn over it.
        sent: When that frame (or, not looked at, the latest) was sent; seconds of a monotonic clock.
        received: When the reply came.
        texts: The text and HTML outputs, without pictures in them.
    """

    mark: tuple[int, int] | None
    sent: float
    received: float
    texts: tuple[str, ...]

    @property
    def delay(self) -> float:
        """Seconds from the frame to its reply."""
        return self.received - self.sent


class Visitor:
    """A browser tab with its camera on.

    Gradio's browser client (6.31) sends a frame every `stream_every` seconds, whether or not the last was
    answered, each one twice over (as the input and as the event's data); a browser has six connections to a server,
    two of them are Gradio's own streams, and what exceeds the others waits in the browser. The gate "none" is that.
    "post" leaves a frame out while another is on its way up; "reply" while another has not been answered.
    The server works on the newest frame that it holds.
    """

    def __init__(
        self,
        url: str,
        film: Sequence[str],
        *,
        pace: float = 0.1,
        gate: str = GATE,
        look_every: int = 1,
    ) -> None:
        """A visitor who has not come yet.

        Args:
            url: The app's address.
            film: Frames as data URLs, marked by `scenes.film`; shown again and again.
            pace: Seconds between two frames.
            gate: "none", "post" or "reply": see above.
            look_every: Read the picture of every so-manieth reply, at gate "reply"; else of every one.
        """
        self.url, self.film, self.pace, self.gate = url, film, pace, gate
        self.look_every = look_every if gate == "reply" else 1  # else only the picture says whose reply it is
        self.session = secrets.token_hex(6)
        self.sent: list[float] = []
        self.replies: list[Reply] = []
        self.errors: list[str] = []
        self.unreadable = 0
        self._answered, self._open, self._closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._leaving = False

    async def stream(self, seconds: float) -> None:
        """Come, stream for so long from the moment that the stream is open, stop the camera, go.

        Cancelled, the visitor leaves abruptly: the connections break. The outcome is in `replies` and `errors`.
        """
        limits = httpx.Limits(max_connections=6)  # as a browser
        async with httpx.AsyncClient(base_url=self.url, timeout=60, limits=limits) as self._http:
            config = (await self._http.get("/config")).raise_for_status().json()
            self._call, self._values = stream_call(config, "camera")
            heartbeat = asyncio.create_task(self._keep_alive())
            try:
                self._event = await self._join()
                reader = asyncio.create_task(self._read())
                opened = asyncio.create_task(self._open.wait())
                await asyncio.wait([reader, opened], return_when=asyncio.FIRST_COMPLETED)
                await self._send(seconds)
                self._leaving = True
                await self._post(f"/stream/{self._event}/close", {})
                await asyncio.wait_for(reader, 60)
            finally:
                heartbeat.cancel()

    async def _keep_alive(self) -> None:
        """The connection by which the server knows that the tab is open."""
        async with self._http.stream("GET", f"{API}/heartbeat/{self.session}", timeout=None) as response:
            async for _ in response.aiter_lines():
                pass

    async def _join(self) -> str:
        self.sent.append(time.perf_counter())
        response = await self._post("/queue/join", self._body(0) | {"trigger_id": self._call["targets"][0][0]})
        return str(response.raise_for_status().json()["event_id"])

    def _body(self, number: int) -> dict[str, Any]:
        frame = {"url": self.film[number % len(self.film)]}
        data = [frame if value is CAMERA else value for value in self._values]
        event_data = {"value": frame, "is_value_data": True}
        return {"data": data, "event_data": event_data, "fn_index": self._call["id"], "session_hash": self.session}

    async def _post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        return await self._http.post(API + path, content=json.dumps(body), headers={"Content-Type": "application/json"})

    async def _send(self, seconds: float) -> None:
        """Frame after frame, at the pace or at the replies'."""
        posts: set[asyncio.Task[None]] = set()
        until = due = time.perf_counter()
        until += seconds
        while time.perf_counter() < until and not self._closed.is_set():
            due = max(due + self.pace, time.perf_counter() - self.pace)
            if self.gate == "reply":
                await _either(self._answered, self._closed, until - time.perf_counter())
                self._answered.clear()
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            posts = {post for post in posts if not post.done()}
            if self.gate == "none" or not posts:
                posts.add(asyncio.create_task(self._chunk()))
        await asyncio.gather(*posts)

    async def _chunk(self) -> None:
        body = self._body(len(self.sent))
        self.sent.append(time.perf_counter())  # the moment that it shows, wherever it waits after
        response = await self._post(f"/stream/{self._event}", body)
        if response.is_error and not self._closed.is_set():
            self.errors.append(f"a frame was answered with {response.status_code}")

    async def _read(self) -> None:
        """The server's events, until it closes the stream."""
        url = f"{API}/queue/data?session_hash={self.session}"
        async with self._http.stream("GET", url, timeout=None) as response:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    await self._take(json.loads(line[5:]))
                if self._closed.is_set():
                    return

    async def _take(self, message: dict[str, Any]) -> None:
        kind, output = message["msg"], message.get("output") or {}
        if kind == "process_starts":
            self._open.set()
        elif kind == "process_streaming" and message.get("success", True):
            await self._answer(output["data"])
            self._answered.set()
        elif kind == "process_completed":
            if not message["success"]:
                self.errors.append(str(output.get("error")))
            elif not self._leaving:
                self.errors.append("the server ended the stream")
            self._closed.set()
        elif kind in ("unexpected_error", "close_stream") or not message.get("success", True):
            self.errors.append(f"{kind}: {message.get('message') or output.get('error')}")
            self._closed.set()

    async def _answer(self, outputs: list[Any]) -> None:
        received, mark, sent = time.perf_counter(), None, self.sent[-1]
        if len(self.replies) % self.look_every == 0:
            picture = await self._picture(outputs)
            if picture is not None:
                mark = self._mark(picture)
            if mark is not None:
                latest = len(self.sent) - 1
                sent = self.sent[latest - (latest - mark[1]) % len(self.film)]
        self.replies.append(Reply(mark, sent, received, tuple(texts_of(outputs))))

    def _mark(self, picture: np.ndarray) -> tuple[int, int] | None:
        """What the strip at the foot says; None where a box or a name was drawn over it."""
        try:
            return read_mark(picture)
        except ValueError:
            self.unreadable += 1
            return None

    async def _picture(self, outputs: list[Any]) -> np.ndarray | None:
        """The picture among the outputs: in a data URL, or fetched as the browser does."""
        for text in strings(outputs):
            if found := PICTURE.search(text):
                return _decoded(base64.b64decode(found[1]))
        for text in strings(outputs):
            if f"{API}/file=" in text:
                return _decoded((await self._http.get(text)).raise_for_status().content)
        return None


def _decoded(data: bytes) -> np.ndarray:
    return np.asarray(PILImage.open(io.BytesIO(data)).convert("RGB"))


async def _either(first: asyncio.Event, second: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (first, second)]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def together(visitors: Sequence[Visitor], seconds: float) -> None:
    """All at once; the first failure ends it."""
    await asyncio.gather(*(visitor.stream(seconds) for visitor in visitors))


def third(visitor: Visitor, which: int) -> list[float]:
    """The delays (s) in one third of the visitor's stay: 0, 1 or 2."""
    start, end = visitor.replies[0].received, visitor.replies[-1].received
    edge = start + which * (end - start) / 3, start + (which + 1) * (end - start) / 3
    known = [reply for reply in visitor.replies if reply.mark or visitor.gate == "reply"]
    return [reply.delay for reply in known if edge[0] <= reply.received <= edge[1]]


def table(visitors: Sequence[Visitor]) -> str:
    """Per visitor: frames sent and answered, frames/s, median and 95 % delay (ms) of the first and the last third."""
    lines = ["visitor  sent  answered  frames/s  first third  95 %  last third  95 %  errors"]
    for number, visitor in enumerate(visitors):
        counts = f"{number:7}  {len(visitor.sent):4}  {len(visitor.replies):8}"
        if len(visitor.replies) < 3:
            lines.append(f"{counts}  {visitor.errors}")
            continue
        rate = (len(visitor.replies) - 1) / (visitor.replies[-1].received - visitor.replies[0].received)
        first, last = (1000 * np.percentile(third(visitor, which), (50, 95)) for which in (0, 2))
        delays = f"{first[0]:11.0f}  {first[1]:4.0f}  {last[0]:10.0f}  {last[1]:4.0f}"
        lines.append(f"{counts}  {rate:8.1f}  {delays}  {len(visitor.errors):6}")
    return "\n".join(lines)


def main() -> None:
    """Stream a face each to a running app and print the table."""
    from app_server import resident, tree

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("url")
    parser.add_argument("--visitors", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pace", type=float, default=0.1, help="seconds between two frames")
    parser.add_argument("--gate", choices=("none", "post", "reply"), default=GATE, help="what holds a frame back")
    parser.add_argument("--pid", type=int, help="the server's process id, for its memory")
    given = parser.parse_args()

    async def stay() -> list[Visitor]:
        visitors = [
            Visitor(given.url, film(number), pace=given.pace, gate=given.gate, look_every=5)
            for number in range(given.visitors)
        ]
        await together(visitors, given.seconds)
        return visitors

    before = sum(map(resident, tree(given.pid))) if given.pid else 0
    print(table(asyncio.run(stay())))
    if given.pid:
        print(f"memory {before:.0f} → {sum(map(resident, tree(given.pid))):.0f} MB")


if __name__ == "__main__":
    main()
