"""Masks as files, in the layout of the evaluation servers."""

import zipfile
from pathlib import Path
from tempfile import TemporaryFile

import pytorch_lightning as pl
import torch

from vosfw.data.files import replacing
from vosfw.data.io import write_mask
from vosfw.errors import OutputError
from vosfw.module import FrameCallback, FrameResult, VOSModule


class PredictionWriter(FrameCallback):
    """Writes ``<folder>/<video>/<frame>.png``: palette pictures of the user's ids at the video's own size.

    Given frames are copied; frames that were predicted though nobody wants them (``engine.policy.process_unwanted``)
    are left out. Each file appears whole or not at all.

    Args:
        folder: Where to.
        zip: Pack all masks into ``<folder>.zip`` at the end.
        zip_folder: Folder inside the zip.
        stages: In which of ``fit`` (its validations), ``validate``, ``test`` and ``predict`` to write.
    """

    def __init__(
        self,
        folder: str | Path,
        zip: bool = False,
        zip_folder: str = "",
        stages: tuple[str, ...] | list[str] = ("test", "predict"),
    ) -> None:
        self.folder = Path(folder)
        self.zip = zip
        self.zip_folder = zip_folder
        self.stages = tuple(stages)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse a folder that cannot be written to before work starts.

        Raises:
            OutputError: If it cannot be made or written to.
        """
        if stage not in self.stages:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise OutputError(
                f"cannot write masks to '{self.folder}' ({error.strerror}). Choose a folder you may write to."
            ) from error

    def on_frame(self, trainer: pl.Trainer, module: VOSModule, result: FrameResult) -> None:
        """Write one mask."""
        if trainer.state.fn is None or trainer.state.fn.value not in self.stages:
            return
        video = result.video
        if not (video.wanted[result.frame] or result.frame in video.given):
            return
        ids = torch.tensor([0, *video.ids])[result.labels.cpu().long()]
        write_mask(self.folder / video.name / f"{video.frames[result.frame]}.png", ids)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pack the masks of all processes."""
        self._finish(trainer)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pack the masks of all processes."""
        self._finish(trainer)

    def _finish(self, trainer: pl.Trainer) -> None:
        if not self.zip or trainer.state.fn is None or trainer.state.fn.value not in self.stages:
            return
        trainer.strategy.barrier("masks written")
        if trainer.is_global_zero:
            pack(self.folder, self.folder.parent / f"{self.folder.name}.zip", self.zip_folder)


def pack(folder: Path, target: Path, inside: str = "") -> None:
    """Put the masks of a folder into a zip, in order of their names.

    Args:
        folder: With ``<video>/<frame>.png``.
        target: The zip; replaced at once or not at all.
        inside: Folder inside the zip.

    Raises:
        OutputError: If it cannot be written.
    """
    with replacing(target) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.glob("*/*.png")):
            archive.write(path, Path(inside) / path.relative_to(folder))
