"""Names of the matching head in the official checkpoints of CFBI, RPCM and AOC-Net."""

import torch
from torch import Tensor

from vosfw.convert.deeplab import RULES as ENCODER
from vosfw.convert.table import Rule

HEAD = r"dynamic_seghead\."
PLACES = ("0.0", "0.1", "1.0", "1.1", "1.2", "2.0", "2.1", "2.2")
"""Stage and bottleneck of layer 1 to 8."""


def flat(tensor: Tensor, wanted: torch.Size) -> Tensor:
    """A scalar that is stored with axes of size 1."""
    return tensor.reshape(wanted)


def bottleneck(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A bottleneck with gated channel transformation."""
    return (
        Rule(rf"{theirs}\.GCT1\.(\w+)", rf"{ours}.gct.\1"),
        Rule(rf"{theirs}\.conv([123])\.weight", rf"{ours}.conv\1.weight"),
        Rule(rf"{theirs}\.bn([123])\.(\w+)", rf"{ours}.norm\1.\2"),
        Rule(rf"{theirs}\.downsample\.([01])\.(\w+)", rf"{ours}.shortcut.\1.\2"),
    )


def _ensembler() -> tuple[Rule, ...]:
    rules = [
        Rule(r"dynamic_prehead\.conv\.(\w+)", r"ensembler.prehead.\1"),
        Rule(r"dynamic_prehead\.bn\.(\w+)", r"ensembler.prehead_norm.\1"),
    ]
    for number, place in enumerate(PLACES, 1):
        rules.append(Rule(rf"{HEAD}IA{number}\.IA\.(\w+)", rf"ensembler.gates.{place}.linear.\1"))
        rules.extend(bottleneck(rf"{HEAD}layer{number}", f"ensembler.blocks.{place}"))
    rules.append(Rule(rf"{HEAD}IA9\.IA\.(\w+)", r"ensembler.aspp_gate.linear.\1"))
    for branch in range(4):
        theirs = rf"{HEAD}ASPP\.aspp{branch + 1}"
        rules.append(Rule(rf"{theirs}\.GCT\.(\w+)", rf"ensembler.aspp.gcts.{branch}.\1"))
        rules.append(Rule(rf"{theirs}\.atrous_conv\.weight", f"ensembler.aspp.convs.{branch}.weight"))
        rules.append(Rule(rf"{theirs}\.bn\.(\w+)", rf"ensembler.aspp.norms.{branch}.\1"))
    return (
        *rules,
        Rule(rf"{HEAD}ASPP\.global_avg_pool\.1\.weight", "ensembler.aspp.pool.weight"),
        Rule(rf"{HEAD}ASPP\.GCT\.(\w+)", r"ensembler.aspp.gct.\1"),
        Rule(rf"{HEAD}ASPP\.conv1\.weight", "ensembler.aspp.conv.weight"),
        Rule(rf"{HEAD}ASPP\.bn1\.(\w+)", r"ensembler.aspp.norm.\1"),
    )


def _modulators() -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for slot in range(2):
        for layer in range(3):
            block = f"modulator.blocks.{slot}"
            theirs = rf"{HEAD}M{slot + 1}_Reweight_Layer_{layer + 1}\.IA\.(\w+)"
            rules.append(Rule(theirs, rf"{block}.gates.{layer}.linear.\1"))
            rules.extend(bottleneck(rf"{HEAD}M{slot + 1}_Bottleneck_{layer + 1}", f"{block}.blocks.{layer}"))
    return tuple(rules)


DECODER = (
    Rule(rf"{HEAD}GCT_sc\.(\w+)", r"decoder.skip_gct.\1"),
    Rule(rf"{HEAD}conv_sc\.weight", "decoder.skip_conv.weight"),
    Rule(rf"{HEAD}bn_sc\.(\w+)", r"decoder.skip_norm.\1"),
    Rule(rf"{HEAD}IA10\.IA\.(\w+)", r"decoder.gate1.linear.\1"),
    Rule(rf"{HEAD}IA11\.IA\.(\w+)", r"decoder.gate2.linear.\1"),
    Rule(rf"{HEAD}conv([12])\.weight", r"decoder.conv\1.weight"),
    Rule(rf"{HEAD}bn([12])\.(\w+)", r"decoder.norm\1.\2"),
    Rule(rf"{HEAD}IA_final_fg\.(\w+)", r"decoder.own.\1"),
    Rule(rf"{HEAD}IA_final_bg\.(\w+)", r"decoder.against.\1"),
)

RULES = (
    Rule("([bf]g_bias)", r"matcher.\1", transform=flat),
    *ENCODER,
    *_ensembler(),
    *_modulators(),
    *DECODER,
)

PREHEAD = (0, *range(4, 10), 16, *range(17, 24), 3, *range(10, 16), 1, 2)
"""For each of our matching maps (pixels, objects, clusters) its place among those of the released AOC-Net."""


def reordered(tensor: Tensor, wanted: torch.Size) -> Tensor:
    """Input channels of the pre-head in our order of maps."""
    return tensor[:, PREHEAD] if tensor.ndim == 4 and tensor.shape[1] == len(PREHEAD) else tensor


def _calibration() -> tuple[Rule, ...]:
    rules = [Rule(rf"{HEAD}CLB\d\.CL_[23]\.phi_layer\.\w+", None, "of a vector, which has no cells to choose from")]
    for number, place in enumerate(PLACES[1:5], 2):
        theirs, ours = rf"{HEAD}CLB{number}", f"ensembler.gates.{place}"
        rules.append(Rule(rf"{theirs}\.CL_1\.phi_layer\.(\w+)", rf"{ours}.own.phi.\1", transform=flat))
        for layer, name in (("CL_1", "own.mlp"), ("CL_2", "against.mlp"), ("CL_3", "described")):
            rules.append(Rule(rf"{theirs}\.{layer}\.mlp_layer\.(\w+)", rf"{ours}.{name}.\1"))
        rules.append(Rule(rf"{theirs}\.mlp_layer\.(\w+)", rf"{ours}.mlp.\1"))
    return tuple(rules)


AOC_RULES = (
    Rule("([bf]g_bias)", tuple(rf"matcher.matchers.{m}.\1" for m in ("pixel", "object", "cluster")), transform=flat),
    Rule(r"dynamic_prehead\.conv\.weight", "ensembler.prehead.weight", transform=reordered),
    *_calibration(),
    *RULES[1:],
)
"""Of the released AOC-Net, with one bias of all maps where ours has one per matcher."""
