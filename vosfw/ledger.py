"""What is done of an evaluation, so that an interrupted one can go on."""

import json
from typing import Any

from vosfw.data.files import replacing
from vosfw.unfinished import Unfinished

__all__ = ["Ledger"]


class Ledger(Unfinished):
    """Keeps the measures of every finished video."""

    @property
    def done(self) -> dict[str, list[Any]]:
        """Measures of the finished videos, by name."""
        entries = [json.loads(path.read_text()) for path in sorted((self.folder / "videos").glob("*.json"))]
        return {entry["video"]: entry["measures"] for entry in entries}

    def add(self, video: str, measures: list[Any]) -> None:
        """Note a finished video."""
        name = "".join(letter if letter.isalnum() or letter in "-_." else f"%{ord(letter):x}" for letter in video)
        with replacing(self.folder / "videos" / f"{name}.json") as draft:
            draft.write_text(json.dumps({"video": video, "measures": measures}))
