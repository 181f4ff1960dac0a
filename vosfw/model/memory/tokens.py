"""Memories that keep the cells of whole frames and attend over them."""

from abc import abstractmethod

from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.interfaces import Memory
from vosfw.model.memory.bank import POLICIES, TokenBank, append_frame, empty_bank, write_frame


class TokenMemory(Memory[TokenBank]):
    """Keeps every cell of the remembered frames; how a query attends over them is its subclasses' business.

    Keys belong to frames (one group, as STCN has them: one affinity serves all objects) or to objects (STM).

    Args:
        top_k: Memory cells that count for a query at inference; None for all. Training takes all.
        max_frames: Most permanent frames in a bank; None (the published protocols) for any number.
        policy: Which frame gives way; see ``write_frame``.
        max_bytes: Most bytes of a bank (objects that joined in the same frame share one); None for any number.

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        top_k: int | None,
        max_frames: int | None,
        policy: str = "first_and_newest",
        max_bytes: int | None = None,
    ) -> None:
        super().__init__()
        if top_k is not None and top_k < 1:
            raise ConfigError(f"memory.top_k is {top_k}; wanted a number of cells from 1, or null for all")
        if max_frames is not None and max_frames < 3:
            raise ConfigError(f"memory.max_frames is {max_frames}; wanted a number of frames from 3, or null for any")
        if policy not in POLICIES:
            raise ConfigError(f"memory.policy is {policy!r}; wanted {' or '.join(POLICIES)}")
        self.top_k = top_k
        self.max_frames = max_frames
        self.policy = policy
        self.max_bytes = max_bytes

    def empty(self, key: Float[Tensor, "B g Ck h w"], value: Float[Tensor, "B k Cv h w"]) -> TokenBank:
        """See ``Memory.empty``."""
        return empty_bank(key, value)

    def write(
        self,
        bank: TokenBank,
        key: Float[Tensor, "B g Ck h w"],
        value: Float[Tensor, "B k Cv h w"],
        trusted: Bool[Tensor, "B h w"] | None = None,
        *,
        keep: bool,
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
        return write_frame(bank, key, value, trusted, keep=keep, max_frames=max_frames, policy=self.policy)

    def append(self, bank: TokenBank, key: Float[Tensor, "B Ck h w"], value: Float[Tensor, "B k Cv h w"]) -> TokenBank:
        """See ``Memory.append``."""
        return append_frame(bank, key, value)

    def read(self, bank: TokenBank, query: Float[Tensor, "B Ck T h w"]) -> Float[Tensor, "B k Cv T h w"]:
        """See ``Memory.read``."""
        batch, groups, _, objects, width = bank.value.shape
        frames, height, cells = query.shape[2:]
        rows = query.flatten(2).transpose(1, 2)[:, None].expand(-1, groups, -1, -1)
        key, value = bank.key.flatten(0, 1), bank.value.flatten(3).flatten(0, 1)
        bias = bank.bias[:, None].expand(-1, groups, -1).flatten(0, 1)
        read = self.attend(rows.flatten(0, 1), key, value, bias, (frames, height, cells))
        read = read.reshape(batch, groups, frames, height, cells, objects, width)
        return read.permute(0, 1, 5, 6, 2, 3, 4).flatten(1, 2)

    @abstractmethod
    def attend(
        self,
        query: Float[Tensor, "b M Ck"],
        key: Float[Tensor, "b N Ck"],
        value: Float[Tensor, "b N D"],
        bias: Float[Tensor, "b N"],
        size: tuple[int, int, int],
    ) -> Float[Tensor, "b M D"]:
        """Values by similarity.

        Args:
            query: A row per cell to be filled, frame by frame; ``b`` = batch x groups.
            key: A row per memory cell.
            value: Of all objects of a group, side by side.
            bias: Added to the similarities of each memory cell.
            size: Frames of the query, height, width; ``M`` is their product.
        """
