"""Pieces of HTML that the app shows: pure functions from plain values to text, everything in it escaped.

Their classes are styled by ``fer_hub/assets/app.css``. They refer to nothing outside themselves, and need no script
but ``announce.js``, which tells screen readers of what is new.
"""

from __future__ import annotations

from .aloud import comparison_aloud, faces_aloud, maps_aloud, timeline_aloud
from .faces import faces_panel
from .live import status_line
from .maps import heat_grid
from .pages import about_page, camera_charts, camera_panel, model_line, video_panel
from .parts import CSV, data_uri, jpeg_uri, said
from .tables import comparison_table, leaderboard

__all__ = [
    "CSV",
    "about_page",
    "camera_charts",
    "camera_panel",
    "comparison_aloud",
    "comparison_table",
    "data_uri",
    "faces_aloud",
    "faces_panel",
    "heat_grid",
    "jpeg_uri",
    "leaderboard",
    "maps_aloud",
    "model_line",
    "said",
    "status_line",
    "timeline_aloud",
    "video_panel",
]
