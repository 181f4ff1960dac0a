"""Names of the official STM-cycle checkpoints (github.com/lyxok1/STM-Training) and of the original STM's.

No file of the original STM was at hand: its table follows the layout that both share.
"""

from vosfw.convert.table import Rule

COLORS = "mean and deviation, the same in every network"
SHARED = (
    Rule(r"Encoder_[MQ]\.(mean|std)", None, COLORS),
    Rule(r"Encoder_M\.conv1\.weight", "value_encoder.trunk.stem.weight", channel=0),
    Rule(r"Encoder_M\.conv1_m\.weight", "value_encoder.trunk.stem.weight", channel=3),
    Rule(r"Encoder_M\.bn1\.(\w+)", r"value_encoder.trunk.body.bn1.\1"),
    Rule(r"Encoder_M\.res2\.(.+)", r"value_encoder.trunk.body.layer1.\1"),
    Rule(r"Encoder_M\.res3\.(.+)", r"value_encoder.trunk.body.layer2.\1"),
    Rule(r"Encoder_M\.res4\.(.+)", r"value_encoder.trunk.body.layer3.\1"),
    Rule(r"Encoder_Q\.(conv1|bn1)\.(\w+)", r"encoder.backbone.\1.\2"),
    Rule(r"Encoder_Q\.res2\.(.+)", r"encoder.backbone.layer1.\1"),
    Rule(r"Encoder_Q\.res3\.(.+)", r"encoder.backbone.layer2.\1"),
    Rule(r"Encoder_Q\.res4\.(.+)", r"encoder.backbone.layer3.\1"),
    Rule(r"KV_M_r4\.Key\.(\w+)", r"value_encoder.key_proj.\1"),
    Rule(r"KV_M_r4\.Value\.(\w+)", r"value_encoder.value_proj.\1"),
    Rule(r"KV_Q_r4\.Key\.(\w+)", r"key_proj.\1"),
    Rule(r"KV_Q_r4\.Value\.(\w+)", r"value_proj.\1"),
    Rule(r"Decoder\.convFM\.(\w+)", r"decoder.conv.\1"),
    Rule(r"Decoder\.ResMM\.(.+)", r"decoder.block.\1"),
    Rule(r"Decoder\.RF3\.convFS\.(\w+)", r"decoder.refines.0.skip_conv.\1"),
    Rule(r"Decoder\.RF3\.ResFS\.(.+)", r"decoder.refines.0.skip_block.\1"),
    Rule(r"Decoder\.RF3\.ResMM\.(.+)", r"decoder.refines.0.block.\1"),
    Rule(r"Decoder\.RF2\.convFS\.(\w+)", r"decoder.refines.1.skip_conv.\1"),
    Rule(r"Decoder\.RF2\.ResFS\.(.+)", r"decoder.refines.1.skip_block.\1"),
    Rule(r"Decoder\.RF2\.ResMM\.(.+)", r"decoder.refines.1.block.\1"),
    Rule(r"Decoder\.pred2\.(\w+)", r"decoder.pred.\1"),
)
# The second mask has another name where it means something else: one network's file does not pass for the other's.
RULES = (Rule(r"Encoder_M\.conv1_bg\.weight", "value_encoder.trunk.stem.weight", channel=4), *SHARED)
ORIGINAL_RULES = (Rule(r"Encoder_M\.conv1_o\.weight", "value_encoder.trunk.stem.weight", channel=4), *SHARED)
