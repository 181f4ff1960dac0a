"""Names of the official PCVOS checkpoint: STCN's (github.com/hkchengrex/STCN), and the intra-clip refinement."""

import torch
from torch import Tensor

from vosfw.convert import stcn
from vosfw.convert.table import Rule


def flat(table: Tensor, wanted: torch.Size) -> Tensor:
    """A table with one column, for the one head, without it."""
    return table.reshape(wanted) if table.numel() == wanted.numel() else table


BLOCK = r"refine_transformer\.layers\.0\.blocks\.(\d+)\."
RULES = (
    Rule(r"input_proj\.key_proj\.(\w+)", r"refiner.key_proj.\1"),
    Rule(BLOCK + r"attn\.relative_position_index", None, "computed, not stored"),
    Rule(BLOCK + r"attn\.relative_position_bias_table", r"refiner.blocks.\1.attention.position_bias", transform=flat),
    Rule(BLOCK + r"attn\.(qk|v|proj)\.(\w+)", r"refiner.blocks.\1.attention.\2.\3"),
    Rule(BLOCK + r"norm1\.(\w+)", r"refiner.blocks.\1.norm_key.\2"),
    Rule(BLOCK + r"norm1_v\.(\w+)", r"refiner.blocks.\1.norm_value.\2"),
    Rule(BLOCK + r"norm2\.(\w+)", r"refiner.blocks.\1.norm_hidden.\2"),
    Rule(BLOCK + r"mlp\.(fc[12])\.(\w+)", r"refiner.blocks.\1.\2.\3"),
    Rule(r"refine_transformer\.norm\.(\w+)", r"refiner.norm.\1"),
    *stcn.RULES,
)
