"""Work that survives being stopped."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from vosfw.data.files import replacing
from vosfw.errors import ConfigError


class Unfinished:
    """Keeps in a hidden folder beside the results what is needed to go on after a stop, and removes it at the end.

    Args:
        out: Folder of the results.
        about: What the work is, by topic; only the same work is gone on with.
        resume: Go on with what is there; otherwise it is thrown away.

    Raises:
        ConfigError: If the folder holds other work.
    """

    def __init__(self, out: Path, about: Mapping[str, str], *, resume: bool) -> None:
        self.folder = out / ".vosfw"
        note = self.folder / "about.json"
        if resume and note.is_file():
            found = json.loads(note.read_text())
            if other := [topic for topic in about if found.get(topic) != about[topic]]:
                raise ConfigError(
                    f"'{out}' holds an unfinished run with other {', '.join(other)}. Repeat that run's options to "
                    "resume it, leave resume out to start anew, or choose another folder."
                )
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        with replacing(note) as draft:
            draft.write_text(json.dumps(dict(about)))

    def finish(self) -> None:
        """Remove what was only needed to go on."""
        shutil.rmtree(self.folder, ignore_errors=True)
