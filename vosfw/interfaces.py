"""What a network and its parts promise, on one page.

A paper is a composition of parts that keep these interfaces (shapes: see ``vosfw.types``; ``g`` = 1 or ``k`` groups
of keys, ``N`` memory tokens). Parts whose width depends on a neighbour are given by configs as factories
(``_partial_``); the network finishes them and wires their widths from ``out_channels``.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from jaxtyping import Bool, Float
from torch import Tensor, nn

from vosfw.ops.proxies import Proxies
from vosfw.types import Features, ObjectMasks

StateT = TypeVar("StateT")
BankT = TypeVar("BankT")


class Grid(NamedTuple):
    """Legal input sizes of a network: ``multiple * n + offset`` pixels per side."""

    multiple: int = 1
    mode: Literal["pad", "resize"] = "pad"
    offset: int = 0


class Segmenter(nn.Module, ABC, Generic[StateT]):
    """A network: ``segment`` reads the state, ``memorize`` writes it; neither changes its arguments.

    The state is a NamedTuple of tensors and NamedTuples and holds one video (or one batch of videos); the module itself
    holds nothing of a video. The engine decides what happens between the calls.
    """

    clip_length: int = 1
    """Frames per ``segment`` call if the engine says nothing else; more for per-clip networks."""
    sequential: bool = False
    """True if ``segment`` takes one frame, since its state goes on from frame to frame: clips and look-ahead, whose
    frames are segmented again, are refused. Otherwise it leaves what it remembers as it is."""
    grid: Grid = Grid(16, "pad")
    mask_gradient: bool = True
    """False when masks are hardened before use: gradient correction then refuses."""
    pad_color: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """RGB that the encoder normalises to zero; padding is filled with it."""
    default_engine: Any = None
    """The engine the weights were trained or published with, if they say; set by ``vosfw.load``."""
    composition: Any = None
    """Name, model and engine as plain containers; set by ``vosfw.load``."""

    @abstractmethod
    def encode(self, frames: Float[Tensor, "B T 3 H W"]) -> Features:
        """Features of every frame; nothing in them depends on masks or state."""

    @abstractmethod
    def init_state(self, features: Features, masks: ObjectMasks, *, keep: bool = True) -> StateT:
        """State after a first frame (T = 1) with given masks; ``keep=False`` leaves it out of permanent memory."""

    @abstractmethod
    def segment(self, features: Features, state: StateT) -> tuple[Float[Tensor, "B T O y x"], StateT]:
        """Class logits of any T frames (one if ``sequential``): O = K+1 rows, background first, -1e4 in unused slots.

        ``K`` is the state's number of slots. Sizes ``y x`` are the network's own; the engine resizes them.
        """

    @abstractmethod
    def memorize(self, features: Features, masks: ObjectMasks, state: StateT, *, keep: bool) -> StateT:
        """State with one more frame (T = 1) remembered: for good, or in place of the transient entry.

        ``masks`` may have more slots than the state (objects that join), and slots that turned invalid (removed).
        ``keep=True`` renews the transient entry too.
        """

    def prepare(self, features: Features, *, read: bool = False, write: bool = False) -> Features:
        """The features with all that depends on no mask computed, for frames that are used more than once.

        Args:
            features: Of any number of frames, or of one (T = 1) if ``write`` is set.
            read: For ``segment``.
            write: For ``memorize`` and ``init_state``.
        """
        return features

    def affinity_mass(self, state: StateT) -> Float[Tensor, "B T K h w"] | None:
        """For the frames segmented last: the share of each cell's memory read that came from cells of the object.

        A sign of how sure the match is (``vosfw.engine.confidence``). None if the network keeps no such record.
        """
        return None

    def remove(self, state: StateT, keep: Bool[Tensor, "K"]) -> StateT:
        """State in which slots that are not in ``keep`` are no longer valid; their memory may stay."""
        changed: StateT = state._replace(valid=state.valid & keep)  # type: ignore[attr-defined]
        return changed


class Encoder(nn.Module, ABC):
    """Image to multi-scale features, coarse to fine; normalises its input itself."""

    out_channels: tuple[int, ...]
    """Channels of the levels, in their order."""
    strides: tuple[int, ...]
    pad_color: tuple[float, float, float]

    @abstractmethod
    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B C h w"], ...]:
        """The levels of RGB frames in 0..1."""


class ValueEncoder(nn.Module, ABC):
    """Frame and object masks to what memory stores. ``key`` has ``g`` = 1 group when it depends on the frame alone."""

    out_channels: int
    stride: int
    """Pixels per cell; that of the encoder's coarsest level."""
    multiple: int = 1
    """Input sides must be multiples of it."""
    shows_mask: bool = False
    """Whether a value's first channel is the object's mask, in -1..1."""

    def prepare(self, features: Features) -> tuple[Float[Tensor, "F _C _h _w"], ...]:
        """What ``forward`` needs of a frame (T = 1) whatever the masks; taken from ``features.write`` if there."""
        return ()

    @abstractmethod
    def forward(
        self, features: Features, probs: Float[Tensor, "B K H W"], valid: Bool[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B g Ck h w"], Float[Tensor, "B K Cv h w"]]:
        """Key and value of one frame (T = 1 in ``features``); ``probs`` without background, at input size."""


class Memory(nn.Module, ABC, Generic[BankT]):
    """A bank of keys and values of objects that joined in the same frame; read by attention.

    ``BankT`` is the part's own NamedTuple; the network looks into none of its fields.
    """

    @abstractmethod
    def empty(self, key: Float[Tensor, "B g Ck h w"], value: Float[Tensor, "B k Cv h w"]) -> BankT:
        """A bank without entries, shaped for such keys and values."""

    @abstractmethod
    def write(
        self,
        bank: BankT,
        key: Float[Tensor, "B g Ck h w"],
        value: Float[Tensor, "B k Cv h w"],
        trusted: Bool[Tensor, "B h w"] | None = None,
        *,
        keep: bool,
    ) -> BankT:
        """The bank with one more frame: permanent (which clears the transient entry), or as the transient entry.

        Cells that are not ``trusted`` (None for all) are not read, but where a query has no others.
        """

    @abstractmethod
    def append(self, bank: BankT, key: Float[Tensor, "B Ck h w"], value: Float[Tensor, "B k Cv h w"]) -> BankT:
        """The bank with one more frame, that no limit counts and no other gives way to: for the rest of a clip.

        The key is the frame's own, as it was read by, for all objects.
        """

    @abstractmethod
    def read(self, bank: BankT, query: Float[Tensor, "B Ck T h w"]) -> Float[Tensor, "B k Cv T h w"]:
        """Values attended to by each query cell."""


class Refiner(nn.Module, ABC):
    """Refines the read-outs of the frames of a clip jointly."""

    @abstractmethod
    def prepare(self, frames: Float[Tensor, "B T C h w"]) -> tuple[Tensor, ...]:
        """What all objects share of a clip whose frames have these maps, the encoder's coarsest."""

    @abstractmethod
    def forward(
        self, value: Float[Tensor, "B K Cv T h w"], prepared: tuple[Tensor, ...]
    ) -> Float[Tensor, "B K Cv T h w"]:
        """Refined values; ``prepared`` is what ``prepare`` returned."""


class Decoder(nn.Module, ABC):
    """Read-out and frame features to one logit map per object."""

    wants_mask: bool = False
    """Whether it needs values that show the object's mask (``ValueEncoder.shows_mask``)."""

    @abstractmethod
    def prepare(self, skips: tuple[Float[Tensor, "B T _C _h _w"], ...]) -> tuple[Float[Tensor, "F _E _y _x"], ...]:
        """What all objects share of the ``F`` = B x T frames whose maps are ``skips``, coarse to fine."""

    @abstractmethod
    def forward(
        self, value: Float[Tensor, "B K Cv T h w"], prepared: tuple[Float[Tensor, "F _E _y _x"], ...]
    ) -> Float[Tensor, "B T K y x"]:
        """Logits per object before aggregation; ``prepared`` is what ``prepare`` returned."""


class Gate(nn.Module, ABC):
    """Gains for the channels of every object's map; built per layer as ``gate(channels, head_dim)``."""

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "B O C h w"], head: Float[Tensor, "B O D"], valid: Bool[Tensor, "B O"]
    ) -> Float[Tensor, "B O C"]:
        """Factors of the channels of ``x``; ``head`` describes the objects, background first."""


class Previous(NamedTuple):
    """The frame before, on the feature grid."""

    embedding: Float[Tensor, "B C h w"]
    masks: Float[Tensor, "B O h w"]
    """One-hot, background first."""
    index: Any = ()
    """What the matcher prepared of it."""
    soft: Float[Tensor, "B O h w"] | tuple[()] = ()
    """Class probabilities, if the network takes soft masks."""

    @property
    def probs(self) -> Float[Tensor, "B O h w"]:
        """What takes part as a map and not as a choice of cells: the soft masks, else the one-hot ones."""
        return self.soft if isinstance(self.soft, Tensor) else self.masks


class ProxyBuilder(nn.Module, ABC):
    """The cells of each object to a few vectors that stand for them."""

    @abstractmethod
    def forward(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"], count: int) -> Proxies:
        """At most ``count`` proxies per object of the cells whose class it is (``Matcher.index``)."""


class Matcher(nn.Module, ABC, Generic[BankT]):
    """Dissimilarity of each cell to each object of reference frames and of the frame before.

    ``BankT``, a NamedTuple of tensors, is what the part prepares of a reference when it is memorised.
    """

    out_channels: int
    """Maps per object, ``M``."""
    map_names: tuple[str, ...] = ()
    """What each map is, for people: ``references``, ``previous``, ... with details behind; may be left empty."""

    @abstractmethod
    def index(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> BankT:
        """What is needed of a reference frame.

        Args:
            embedding: Of its cells.
            masks: The weight of each cell, 1 or, with soft masks, its probability, in the row of its class; the other
                rows are 0. Cells without a class are left out.
        """

    def index_previous(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> Any:
        """What is needed of the frame before besides these: a tree of tensors, for ``Previous.index``."""
        return ()

    @abstractmethod
    def forward(
        self,
        query: Float[Tensor, "B C h w"],
        references: Sequence[BankT],
        previous: Previous,
        valid: Bool[Tensor, "B O"],
    ) -> Float[Tensor, "B O M h w"]:
        """The maps; references may have fewer objects than ``previous``."""


class Ensembler(nn.Module, ABC):
    """Matching maps and embeddings to one coarse map per object."""

    out_channels: int
    skip_channels: int
    """Of the second result, at the embedding's stride."""
    stride: int
    """Of the first result, in feature cells."""

    @abstractmethod
    def forward(
        self,
        query: Float[Tensor, "B C h w"],
        maps: Float[Tensor, "B O M h w"],
        previous: Previous,
        head: Float[Tensor, "B O D"],
        valid: Bool[Tensor, "B O"],
    ) -> tuple[Float[Tensor, "B O E y x"], Float[Tensor, "B O S h w"]]:
        """The coarse map, and a finer one for the decoder."""


class Modulator(nn.Module, ABC, Generic[StateT]):
    """Refines the ensembler's map by maps remembered from other frames (RPCM, section 3.2)."""

    out_channels: int

    @abstractmethod
    def empty(self, x: Float[Tensor, "B O C h w"]) -> StateT:
        """A state without memories, for maps like ``x`` (whose values play no part)."""

    @abstractmethod
    def reset(self, state: StateT, changed: Bool[Tensor, "B"]) -> StateT:
        """The state with the memories of some videos void."""

    @abstractmethod
    def prime(self, state: StateT, x: Float[Tensor, "B O C h w"]) -> StateT:
        """The state with ``x``, the ensembler's map of a reference frame, as what corrections refer to."""

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "B O C h w"], head: Float[Tensor, "B O D"], valid: Bool[Tensor, "B O"], state: StateT
    ) -> tuple[Float[Tensor, "B O E h w"], StateT]:
        """The refined map, and the state after this frame."""


class ObjectDecoder(nn.Module, ABC):
    """Coarse and fine maps of every object to class logits; the fine ones are merged first, as they are large."""

    @abstractmethod
    def merge(
        self, skip: Float[Tensor, "B O S h w"], low_level: Float[Tensor, "B L h w"]
    ) -> Float[Tensor, "B O F h w"]:
        """A fine map per object; ``low_level`` is shared by all objects."""

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "B O C y x"],
        fine: Float[Tensor, "B O F h w"],
        head: Float[Tensor, "B O D"],
        valid: Bool[Tensor, "B O"],
    ) -> Float[Tensor, "B O h w"]:
        """Logits, background first, before unused slots are masked."""
