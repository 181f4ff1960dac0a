"""STCN's memory: negative squared distance, the best cells only."""

from jaxtyping import Float
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.interfaces import Memory
from vosfw.model.memory.bank import POLICIES, TokenBank, empty_bank, write_frame
from vosfw.ops.affinity import displacement_prior, l2_read


class L2TopKMemory(Memory[TokenBank]):
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
        super().__init__()
        if top_k is not None and top_k < 1:
            raise ConfigError(f"memory.top_k is {top_k}; wanted a number of cells from 1, or null for all")
        if max_frames is not None and max_frames < 3:
            raise ConfigError(f"memory.max_frames is {max_frames}; wanted a number of frames from 3, or null for any")
        if policy not in POLICIES:
            raise ConfigError(f"memory.policy is {policy!r}; wanted {' or '.join(POLICIES)}")
        if sigma is not None and sigma <= 0:
            raise ConfigError(f"memory.sigma is {sigma}; wanted a number of cells above 0, or null for no prior")
        self.top_k = top_k
        self.max_frames = max_frames
        self.policy = policy
        self.max_bytes = max_bytes
        self.sigma = sigma

    def empty(self, key: Float[Tensor, "B g Ck h w"], value: Float[Tensor, "B k Cv h w"]) -> TokenBank:
        """See ``Memory.empty``."""
        return empty_bank(key, value)

    def write(
        self, bank: TokenBank, key: Float[Tensor, "B g Ck h w"], value: Float[Tensor, "B k Cv h w"], *, keep: bool
    ) -> TokenBank:
        """See ``Memory.write``."""
        max_frames = self.max_frames
        if self.max_bytes is not None:
            frame = sum(part.numel() * part.element_size() for part in (key, value))
            fitting = self.max_bytes // frame - 1  # one for the transient frame
            if fitting < 3:
                raise ConfigError(
                    f"memory.max_bytes is {self.max_bytes}, but a frame takes {frame}; wanted at least {4 * frame}"
                )
            max_frames = fitting if max_frames is None else min(fitting, max_frames)
        return write_frame(bank, key, value, keep=keep, max_frames=max_frames, policy=self.policy)

    def read(self, bank: TokenBank, query: Float[Tensor, "B Ck T h w"]) -> Float[Tensor, "B k Cv T h w"]:
        """See ``Memory.read``."""
        batch, groups, _, objects, width = bank.value.shape
        prior = None
        if self.sigma is not None and bank.key.shape[2]:
            frames, height, cells = query.shape[2:]
            prior = displacement_prior((height, cells), frames, self.sigma, query.device)
        rows = query.flatten(2).transpose(1, 2)[:, None].expand(-1, groups, -1, -1)
        read = l2_read(
            rows.flatten(0, 1),
            bank.key.flatten(0, 1),
            bank.value.flatten(3).flatten(0, 1),
            top_k=None if self.training else self.top_k,
            prior=prior,
        )
        read = read.reshape(batch, groups, *query.shape[2:], objects, width)
        return read.permute(0, 1, 5, 6, 2, 3, 4).flatten(1, 2)
