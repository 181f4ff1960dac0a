"""Attention in windows over time and space, with keys that no object changes and values of every object."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.ops.windows import Windows, relative_index, separation

ROWS = 2**13
"""Cells whose hidden layer is held at once when no gradient is wanted; small ones stay in a CPU's caches."""


class WindowAttention(nn.Module):
    """How much each cell of a window takes from the others, and what becomes of that.

    Args:
        key_dim: Width of the keys.
        value_dim: Width of the values.
        window: Sides of a window: frames, rows, columns of cells.
        shared_projection: Project queries and keys alike.
        clamped_index: For windows that a small map clamps; see ``relative_index``.
        padding: Whether cells that only pad a window take part.
    """

    def __init__(
        self,
        key_dim: int,
        value_dim: int,
        window: tuple[int, int, int],
        *,
        shared_projection: bool,
        clamped_index: str,
        padding: bool,
    ) -> None:
        super().__init__()
        self.qk = nn.Linear(key_dim, key_dim if shared_projection else 2 * key_dim)
        self.v = nn.Linear(value_dim, value_dim)
        self.proj = nn.Linear(value_dim, value_dim)
        offsets = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)
        self.position_bias = nn.Parameter(nn.init.trunc_normal_(torch.empty(offsets), std=0.02))
        self.scale = key_dim**-0.5
        self.window = window
        self.parts = 1 if shared_projection else 2
        self.clamped_index = clamped_index
        self.padding = padding

    def weights(self, key: Float[Tensor, "B T h w C"], windows: Windows) -> Float[Tensor, "B W N N"]:
        """Weight of each cell (last axis) for each cell of its window; they add up to 1."""
        # Cells that pad are zero before the projection, so the bias comes to them too.
        projected = windows.split(F.linear(key, self.qk.weight)) + self.qk.bias
        query, key = projected.chunk(self.parts, -1)[0], projected.chunk(self.parts, -1)[-1]
        index = relative_index(windows.window, self.window, self.clamped_index, key.device)
        logits = (query * self.scale) @ key.transpose(-2, -1) + self.position_bias[index]
        apart = separation(windows, key.device, padding=self.padding)
        if apart is not None:
            logits = logits + apart
        weights: Tensor = logits.softmax(-1)
        return weights

    def forward(
        self, value: Float[Tensor, "B T h w K C"], weights: Float[Tensor, "B W N N"], windows: Windows
    ) -> Float[Tensor, "B T h w K C"]:
        """Values of every object under the same weights.

        The projections come after the weighted sum, not before it as published: weights add up to 1, so the result is
        the same, and cells that pad are not projected.
        """
        mixed = windows.join(weights.to(value.dtype) @ windows.split(value.flatten(-2))).unflatten(-1, value.shape[-2:])
        projected: Tensor = self.proj(self.v(mixed))
        return projected


class WindowBlock(nn.Module):
    """One block of the refinement: attention, then two layers on every cell, each added to the values.

    Args:
        key_dim: Width of the keys, which stay as they are.
        value_dim: Width of the values.
        hidden_dim: Width between the two layers.
        attention: What ``WindowAttention`` takes besides.
        shifted: Whether the windows are shifted by half their sides.
    """

    def __init__(
        self, key_dim: int, value_dim: int, hidden_dim: int, attention: WindowAttention, *, shifted: bool
    ) -> None:
        super().__init__()
        self.norm_key = nn.LayerNorm(key_dim)
        self.norm_value = nn.LayerNorm(value_dim)
        self.norm_hidden = nn.LayerNorm(value_dim)
        self.attention = attention
        self.fc1 = nn.Linear(value_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, value_dim)
        self.shifted = shifted

    def windows(self, size: tuple[int, int, int]) -> Windows:
        """How this block cuts maps of ``size`` (frames, rows, columns)."""
        return Windows.plan(size, self.attention.window, shifted=self.shifted)

    def weights(self, key: Float[Tensor, "B T h w C"]) -> Float[Tensor, "B W N N"]:
        """The attention, which depends on the frames alone."""
        return self.attention.weights(self.norm_key(key), self.windows((key.shape[1], key.shape[2], key.shape[3])))

    def forward(
        self, value: Float[Tensor, "B T h w K C"], weights: Float[Tensor, "B W N N"]
    ) -> Float[Tensor, "B T h w K C"]:
        """The refined values; ``weights`` are those of the clip's frames."""
        windows = self.windows((value.shape[1], value.shape[2], value.shape[3]))
        value = self.attention(self.norm_value(value), weights, windows) + value
        if torch.is_grad_enabled():
            return value + self._hidden(value)
        for rows in value.view(-1, value.shape[-1]).split(ROWS):
            rows += self._hidden(rows)
        return value

    def _hidden(self, value: Float[Tensor, "*r C"]) -> Float[Tensor, "*r C"]:
        changed: Tensor = self.fc2(F.gelu(self.fc1(self.norm_hidden(value))))
        return changed
