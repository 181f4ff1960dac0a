"""STM's memory: attention by dot products over all cells of all remembered frames."""

from jaxtyping import Float
from torch import Tensor

from vosfw.model.memory.tokens import TokenMemory
from vosfw.ops.affinity import attention_read, dot_similarity


class SpaceTimeMemory(TokenMemory):
    """Space-time memory read (STM, Oh et al., ICCV 2019, eq. 1).

    Dot products are divided by the root of the key's width, as the releases of STM and STM-cycle do. STM's keys depend
    on the mask, so that every object has an affinity of its own.

    Args:
        top_k: Memory cells that count for a query at inference; None (as published) for all.
        max_frames: Most permanent frames in a bank; None (as published) for any number.
        policy: Which frame gives way; see ``write_frame``.
        max_bytes: Most bytes of a bank; None for any number.

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        top_k: int | None = None,
        max_frames: int | None = 64,
        policy: str = "first_and_newest",
        max_bytes: int | None = None,
    ) -> None:
        super().__init__(top_k, max_frames, policy, max_bytes)

    def attend(
        self,
        query: Float[Tensor, "b M Ck"],
        key: Float[Tensor, "b N Ck"],
        value: Float[Tensor, "b N D"],
        bias: Float[Tensor, "b N"],
        size: tuple[int, int, int],
    ) -> Float[Tensor, "b M D"]:
        """See ``TokenMemory.attend``."""
        top_k = None if self.training else self.top_k
        return attention_read(query, key, value, similarity=dot_similarity, bias=bias, top_k=top_k)
