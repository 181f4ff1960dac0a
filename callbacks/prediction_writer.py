"""Masks as files, in the layout of the evaluation servers, and how sure the network was of them."""

import zipfile
from pathlib import Path
from tempfile import TemporaryFile

import pytorch_lightning as pl
import torch
from PIL import Image

from vosfw.data.files import replacing
from vosfw.data.io import write_mask
from vosfw.engine.reliability import entropy
from vosfw.errors import OutputError
from vosfw.module import FrameCallback, FrameResult, VOSModule

ENTROPY = "entropy"
"""Folder beside that of the masks."""


class PredictionWriter(FrameCallback):
    """Writes ``<folder>/<video>/<frame>.png``: palette pictures of the user's ids at the video's own size.

    Given frames are copied; frames that were predicted though nobody wants them (``engine.policy.process_unwanted``)
    are left out. Each file appears whole or not at all.

    Args:
        folder: Where to.
        zip: Pack all masks into ``<folder>.zip`` at the end.
        zip_folder: Folder inside the zip.
        entropy: Also write ``entropy/<video>/<frame>.png`` beside the folder: 8-bit grey, 0 where the network was sure,
            255 where all classes in use were equally likely.
        stages: In which of ``fit`` (its validations), ``validate``, ``test`` and ``predict`` to write.
    """

    def __init__(
        self,
        folder: str | Path,
        zip: bool = False,
        zip_folder: str = "",
        entropy: bool = False,
        stages: tuple[str, ...] | list[str] = ("test", "predict"),
    ) -> None:
        self.folder = Path(folder)
        self.zip = zip
        self.zip_folder = zip_folder
        self.entropy = self.folder.parent / ENTROPY if entropy else None
        self.stages = tuple(stages)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse a folder that cannot be written to before work starts.

        Raises:
            OutputError: If it cannot be made or written to.
        """
        if stage not in self.stages:
            return
        for folder in filter(None, (self.folder, self.entropy)):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise OutputError(
                    f"cannot write masks to '{folder}' ({error.strerror}). Choose a folder you may write to."
                ) from error

    def on_frame(self, trainer: pl.Trainer, module: VOSModule, result: FrameResult) -> None:
        """Write one mask, and its entropy."""
        if trainer.state.fn is None or trainer.state.fn.value not in self.stages:
            return
        video = result.video
        if not (video.wanted[result.frame] or result.frame in video.given):
            return
        ids = torch.tensor([0, *video.ids])[result.labels.cpu().long()]
        name = f"{video.frames[result.frame]}.png"
        write_mask(self.folder / video.name / name, ids)
        if self.entropy is not None:
            begun = [start <= result.frame for start in video.introduced.values()][: len(result.probs) - 1]
            amount = entropy(
                result.probs[None].float(), torch.tensor([begun], device=result.probs.device), normalize=True
            )[0, 0]
            grey = (255 * amount).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
            with replacing(self.entropy / video.name / name) as draft:
                Image.fromarray(grey).save(draft, format="PNG")

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
