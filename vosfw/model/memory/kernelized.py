"""KMN's memory: each memory cell is read near the place where it is found again."""

import math

from jaxtyping import Float
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.model.memory.space_time import SpaceTimeMemory
from vosfw.ops.affinity import attention_read, cell_places, dot_similarity, kernel_factors, soft_argmax


class KernelizedMemory(SpaceTimeMemory):
    """Kernelized memory read (KMN, Seong et al., ECCV 2020, section 3.2): a 2-D Gaussian around each cell's best match.

    The kernel is ``exp(-|q - q(p)|^2 / (2 sigma^2))`` for the query cell q and the place q(p) where memory cell p is
    found; as a sum of logarithms it joins the dot products before the softmax. KMN takes the argmax and uses the
    kernel at inference alone; the cyclic paper (Li et al., IJCV 2022) takes a soft argmax, so that the kernel can be
    trained and masks be corrected by gradients.

    Args:
        sigma: Width of the kernel in cells; 7 in KMN, whose cells have 16 pixels.
        sharpness: Factor of the similarities in the soft argmax; the paper gives none. None takes the argmax, through
            which no gradient goes.
        train_kernel: Use the kernel in training too.
        top_k: Memory cells that count for a query at inference; None (as published) for all.
        max_frames: Most permanent frames in a bank; None (as published) for any number.
        policy: Which frame gives way; see ``write_frame``.
        max_bytes: Most bytes of a bank; None for any number.

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        sigma: float | int = 7.0,
        sharpness: float | int | None = 1.0,
        train_kernel: bool = True,
        top_k: int | None = None,
        max_frames: int | None = 64,
        policy: str = "first_and_newest",
        max_bytes: int | None = None,
    ) -> None:
        super().__init__(top_k, max_frames, policy, max_bytes)
        if sigma <= 0:
            raise ConfigError(f"memory.sigma is {sigma}; wanted a number of cells above 0")
        if sharpness is not None and sharpness <= 0:
            raise ConfigError(f"memory.sharpness is {sharpness}; wanted a factor above 0, or null for the argmax")
        self.sigma = float(sigma)
        self.sharpness = math.inf if sharpness is None else float(sharpness)
        self.train_kernel = train_kernel

    def attend(
        self,
        query: Float[Tensor, "b M Ck"],
        key: Float[Tensor, "b N Ck"],
        value: Float[Tensor, "b N D"],
        bias: Float[Tensor, "b N"],
        size: tuple[int, int, int],
    ) -> Float[Tensor, "b M D"]:
        """See ``TokenMemory.attend``; a memory cell is looked for in each frame by itself."""
        if not key.shape[1] or (self.training and not self.train_kernel):
            return super().attend(query, key, value, bias, size)
        frames, place = size[0], cell_places(size[1:], query.device)
        # Frames of a clip become rows of the batch.
        query = query.unflatten(1, (frames, -1)).flatten(0, 1)
        key, value, bias = (rows.repeat_interleave(frames, 0) if frames > 1 else rows for rows in (key, value, bias))
        found = soft_argmax(query, key, place, self.sharpness)
        prior = kernel_factors(place[None], found, self.sigma)
        top_k = None if self.training else self.top_k
        read = attention_read(query, key, value, similarity=dot_similarity, bias=bias, top_k=top_k, prior=prior)
        return read.reshape(-1, frames * read.shape[1], read.shape[2])
