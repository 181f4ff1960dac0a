"""What is done of an evaluation, so that an interrupted one can go on."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vosfw.data.files import replacing
from vosfw.errors import ConfigError

__all__ = ["Ledger"]


class Ledger:
    """Keeps the measures of every finished video in a hidden folder, and removes it at the end.

    Args:
        folder: Of the run.
        about: What the evaluation is, by topic; only the same one is gone on with.
        resume: Go on with what is there; otherwise it is thrown away.

    Raises:
        ConfigError: If the folder holds another evaluation.
    """

    def __init__(self, folder: Path, about: Mapping[str, str], *, resume: bool) -> None:
        self.folder = folder / ".vosfw"
        note = self.folder / "evaluation.json"
        if resume and note.is_file():
            found = json.loads(note.read_text())
            if other := [topic for topic in about if found.get(topic) != about[topic]]:
                raise ConfigError(
                    f"'{folder}' holds an unfinished evaluation with another {', '.join(other)}. Repeat its options to "
                    "resume it, or choose another run_dir."
                )
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        with replacing(note) as draft:
            draft.write_text(json.dumps(dict(about)))

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

    def finish(self) -> None:
        """Remove it."""
        shutil.rmtree(self.folder, ignore_errors=True)
