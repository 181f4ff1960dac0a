"""One self-contained HTML page: a result table, and a video frame by frame with masks, J and F."""

import base64
import html
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

from jaxtyping import Float, Integer, UInt8
from PIL import Image
from torch import Tensor

from vosfw.data.files import replacing
from vosfw.data.io import PALETTE
from vosfw.data.overlay import overlay

__all__ = ["PageVideo", "write_page"]


class PageVideo(NamedTuple):
    """A video with prediction and truth, object ids per pixel."""

    title: str
    names: Sequence[str]
    frames: Sequence[UInt8[Tensor, "3 Y X"]]
    predictions: Sequence[Integer[Tensor, "Y X"]]
    truths: Sequence[Integer[Tensor, "Y X"]]
    ids: Sequence[int]
    j: Float[Tensor, "T K"]
    """Per frame and object; NaN where the mask was given."""
    f: Float[Tensor, "T K"]
    confidence: Float[Tensor, "T K"]
    """J as the network expects it, without the truth; NaN likewise."""


def write_page(
    path: Path, title: str, intro: str, header: Sequence[str], rows: Sequence[Sequence[str]], video: PageVideo
) -> None:
    """Write the page; it needs no other file and no network.

    Args:
        path: Where to.
        title: Heading.
        intro: A sentence below it.
        header: Of the result table.
        rows: Of the result table; every cell as text.
        video: What the viewer shows.

    Raises:
        OutputError: If the page cannot be written.
    """
    objects = [
        {
            "id": object_id,
            "color": "#{:02x}{:02x}{:02x}".format(*PALETTE[object_id % 256]),
            "J": _column(video.j, k),
            "F": _column(video.f, k),
            "confidence": _column(video.confidence, k),
        }
        for k, object_id in enumerate(video.ids)
    ]
    frames = [
        {
            "name": name,
            "frame": _jpeg(frame),
            "prediction": _jpeg(overlay(frame, prediction)),
            "truth": _jpeg(overlay(frame, truth)),
        }
        for name, frame, prediction, truth in zip(
            video.names, video.frames, video.predictions, video.truths, strict=True
        )
    ]
    # A closing tag inside the data would end the script element.
    data = json.dumps({"frames": frames, "objects": objects}).replace("</", "<\\/")
    page = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        intro=html.escape(intro),
        table=_table(header, rows),
        video=html.escape(video.title),
        data=data,
    )
    with replacing(path) as draft:
        draft.write_text(page, encoding="utf-8")


def _column(values: Tensor, k: int) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 4) for value in values[:, k].tolist()]


def _jpeg(frame: Tensor) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame.permute(1, 2, 0).cpu().numpy()).save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(header, 'th')}</thead><tbody>{body}</tbody></table>"
