"""STCN's memory: negative squared distance, the best cells only."""

from jaxtyping import Float
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.model.memory.tokens import TokenMemory
from vosfw.ops.affinity import attention_read, displacement_prior


class L2TopKMemory(TokenMemory):
    """Space-time memory with L2 similarity (STCN, section 3.2) and, at inference, top-k filtering.

    Training takes the softmax over all cells, inference over the ``top_k`` most similar ones of each query. One
    affinity serves all objects of a bank, and all frames of a clip.

    Args:
        top_k: Memory cells that count for a query at inference; None for all.
        max_frames: Most permanent frames in a bank; None (the published protocols) for any number. The default never
            binds below 300 frames at interval 5, nor below 64 kept frames at all.
        policy: Which frame gives way; see ``write_frame``.
        max_bytes: Most bytes of a bank (objects that joined in the same frame share one); None for any number.
        sigma: Width, in cells, of a Gaussian prior on how far things move from the newest frame in memory to the one
            that is read; None (STCN) for none. That frame is up to ``policy.every`` frames old, so choose it together.

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        top_k: int | None = 20,
        max_frames: int | None = 64,
        policy: str = "first_and_newest",
        max_bytes: int | None = None,
        sigma: float | None = None,
    ) -> None:
        super().__init__(top_k, max_frames, policy, max_bytes)
        if sigma is not None and sigma <= 0:
            raise ConfigError(f"memory.sigma is {sigma}; wanted a number of cells above 0, or null for no prior")
        self.sigma = sigma

    def attend(
        self,
        query: Float[Tensor, "b M Ck"],
        key: Float[Tensor, "b N Ck"],
        value: Float[Tensor, "b N D"],
        bias: Float[Tensor, "b N"],
        size: tuple[int, int, int],
    ) -> Float[Tensor, "b M D"]:
        """See ``TokenMemory.attend``."""
        prior = None
        if self.sigma is not None and key.shape[1]:
            prior = displacement_prior(size[1:], size[0], self.sigma, query.device)
        return attention_read(query, key, value, bias=bias, top_k=None if self.training else self.top_k, prior=prior)
