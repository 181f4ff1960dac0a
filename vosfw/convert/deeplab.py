"""Names of the DeepLabv3+ encoder and of the embedding, in the checkpoints of CFBI, RPCM and AOC-Net and on its own."""

import re

from vosfw.convert.table import Rule


def encoder_rules(prefix: str) -> tuple[Rule, ...]:
    """Rules of an extractor whose names start with ``prefix``, a regular expression without groups."""
    aspp = {f"aspp{i + 1}.atrous_conv": f"branches.{i}.0" for i in range(4)}
    aspp |= {f"aspp{i + 1}.bn": f"branches.{i}.1" for i in range(4)}
    aspp |= {"global_avg_pool.1": "pool.0", "global_avg_pool.2": "pool.1", "conv1": "merge.0", "bn1": "merge.1"}
    decoder = {"conv1": "low.0", "bn1": "low.1"}
    decoder |= {"last_conv.0": "fuse.0.0", "last_conv.1": "fuse.0.1", "last_conv.4": "fuse.1.0"}
    decoder |= {"last_conv.5": "fuse.1.1"}
    renamed = [("aspp", *pair) for pair in aspp.items()] + [("decoder", *pair) for pair in decoder.items()]
    return (
        Rule(rf"{prefix}.*\.num_batches_tracked", None, "frozen norms do not count batches"),
        Rule(rf"{prefix}backbone\.fc\..+", None, "the classifier of the backbone"),
        Rule(rf"{prefix}backbone\.(.+)", r"encoder.backbone.\1"),
        *(
            Rule(rf"{prefix}{part}\.{re.escape(theirs)}\.(\w+)", rf"encoder.{part}.{ours}.\1")
            for part, theirs, ours in renamed
        ),
    )


RULES = (
    *encoder_rules(r"feature_extracter\."),
    Rule(r"semantic_embedding\.[0134]\..+", None, "a second name of the embedding's tensors"),
    Rule(r"seperate_conv\.(\w+)", r"embedding.depthwise.\1"),
    Rule(r"bn1\.(\w+)", r"embedding.depthwise_norm.\1"),
    Rule(r"embedding_conv\.(\w+)", r"embedding.project.\1"),
    Rule(r"bn2\.(\w+)", r"embedding.project_norm.\1"),
)
"""Of a whole network: its ``encoder`` and ``embedding``."""

CHECKPOINT_RULES = (*encoder_rules(""), Rule(r".+", None, "no part of the encoder, such as the classifier"))
"""Of the segmentation checkpoint that the networks start from."""
