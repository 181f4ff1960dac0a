"""Compositions of swapped parts: all choices of the two kinds of networks, what cannot go together, and small sizes."""

import itertools
from collections.abc import Iterator

from vosfw.config import choices, compose
from vosfw.contract import fitting, roles, target

Row = dict[str, str]
Rule = tuple[dict[str, tuple[str, ...]], list[str], str]
"""Choices that must not meet, the shortest command that brings them together, and what it is told."""

ENGINE = {f"engine/{part}": choices(f"engine/{part}") for part in ("policy", "reliability", "corrector", "augment")}
TRAINING = {
    # The others are losses of single frames, which these take as parts.
    "loss": ["clip", "cycle", "sequence", "stm"],
    "data/sampler": choices("data/sampler"),
    "data/augment": choices("data/augment"),
    "optimizer": choices("optimizer"),
    "scheduler": choices("scheduler"),
    "metrics": choices("metrics"),
}
SHARED = {**ENGINE, "engine/interference": choices("engine/interference"), **TRAINING}
CLIPS = {"engine.clip_length": ["1", "3"]}
SOFT = {"model.soft_masks": ["false", "true"]}
BASES = {"memory": "stcn", "matching": "cfbi"}
HARD = ("false",)

DEEP = tuple(name for name in choices("model/encoder") if name.startswith("deeplab"))
STRIDE16 = ("resnet18", "resnet50")
SHALLOW = (*DEEP, "pyramid", "small")


def parts(kind: str) -> dict[str, list[str]]:
    """The choices of every part of a network, as its roles have them."""
    network = compose([f"model={BASES[kind]}"]).model
    wanted = roles(target(network))
    return {f"model/{name}": fitting(f"model/{name}", role) for name, role in wanted.items()}


def factors(kind: str) -> dict[str, list[str]]:
    """All that is chosen in a composition of a kind of network."""
    return {**parts(kind), **(CLIPS if kind == "memory" else SOFT), **SHARED}


RULES: dict[str, list[Rule]] = {
    "memory": [
        (
            {"model/decoder": ("propagate",), "model/value_encoder": ("stcn", "stcn_small", "stm")},
            ["model=stcn", "model/decoder=propagate", "model.decoder.widths=[8,8,8]"],
            "starts from the object's mask in its values, but STCNValueEncoder puts none there",
        ),
        (
            {"model/value_encoder": ("stcn", "stm"), "model/encoder": SHALLOW},
            ["model=stcn", "model/encoder=small"],
            r"has cells of 16 pixels, the encoder's coarsest level of 8: choose an encoder of that stride",
        ),
    ],
    "matching": [
        (
            {"model/encoder": ("pyramid", "small", *STRIDE16)},
            ["model=cfbi", "model/encoder=resnet18"],
            r"the encoder has levels at strides \[16, 8, 4\]; wanted two of the same stride",
        ),
        (
            {"engine/corrector": ("gradient",), "model.soft_masks": HARD},
            ["model=cfbi", "engine/corrector=gradient"],
            "cannot correct masks of this MatchingNetwork: it uses them hard.*model.soft_masks=true",
        ),
        (
            {"engine/interference": ("fgsm", "mi_fgsm"), "model.soft_masks": HARD},
            ["model=cfbi", "engine/interference=fgsm"],
            "hardens masks before use.*model.soft_masks=true",
        ),
    ],
}


def legal(kind: str, row: Row) -> bool:
    """Whether no rule forbids what is chosen so far."""
    return not any(all(row.get(key) in names for key, names in rule.items()) for rule, *_ in RULES[kind])


def pairs(kind: str) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Every pair of choices of two different parts."""
    for (one, names), (other, more) in itertools.combinations(factors(kind).items(), 2):
        yield from (((one, a), (other, b)) for a in names for b in more)


def rows(kind: str) -> list[Row]:
    """Compositions that bring every legal pair together at least once, found greedily.

    Each starts from a pair that is still to come; part by part it takes the choice that brings most others with it.
    """
    chosen = factors(kind)
    left = dict.fromkeys(frozenset(pair) for pair in pairs(kind) if legal(kind, dict(pair)))
    found = []
    while left:
        row = dict(next(iter(left)))
        for key in sorted(chosen, key=lambda key: -len(chosen[key])):
            fitting = [name for name in chosen[key] if legal(kind, {**row, key: name})]
            if key not in row and fitting:
                row[key] = max(
                    fitting, key=lambda name: sum(frozenset(((key, name), one)) in left for one in row.items())
                )
        for pair in itertools.combinations(row.items(), 2):
            left.pop(frozenset(pair), None)
        found.append({key: row[key] for key in chosen})
    return found


def overrides(kind: str, row: Row) -> list[str]:
    """A composition as on the command line, small."""
    named = [f"{key}={name}" for key, name in row.items()]
    # Training remembers as the evaluation does, and trusts as little.
    named += [f"{part}@train_{part.replace('/', '.')}={row[part]}" for part in ("engine/policy", "engine/reliability")]
    if row["engine/interference"] == "mi_fgsm":
        named += ["engine.interference.steps=1"]
    if row["engine/augment"] == "multi_scale":
        named += ["engine.augment.scales=[1.0,1.3]", "engine.augment.flip=false"]
    return [f"model={BASES[kind]}", *named, *(small_memory(row) if kind == "memory" else small_matching(row))]


def small_encoder(name: str) -> list[str]:
    """An encoder's choice at a size of seconds; timm's own test networks stand for large ones."""
    if name == "small":
        return ["model.encoder.widths=[8,8,8]", "model.encoder.depth=1"]
    if name == "deeplab_mobilenet":
        return ["model.encoder.name=mobilenetv2_035", "model.encoder.width=16", "model.encoder.low_width=8"]
    if name.startswith("deeplab"):
        narrow = ["+model.encoder.options.channels=[8,8,16,16]", "model.encoder.width=16", "model.encoder.low_width=8"]
        return [*narrow, "model.encoder.name=resnet18"]
    if name == "pyramid":
        return ["+model.encoder.options.channels=[8,8,8,8]", "model.encoder.width=16"]
    return ["model.encoder.name=test_resnet"]


def small_memory(row: Row) -> list[str]:
    """Sizes of a memory network's parts, and those that follow from one another's strides."""
    encoder, value, decoder = row["model/encoder"], row["model/value_encoder"], row["model/decoder"]
    stride = 16 if encoder in STRIDE16 else 4 if encoder in DEEP else 8
    levels = {"small": 2}.get(encoder, 3) if encoder not in DEEP else 2
    sizes = ["model.key_dim=8", "model.value_dim=16", "model.grid_multiple=16", *small_encoder(encoder)]
    if value == "patch":
        sizes += [f"model.value_encoder.stride={stride}"]
    elif value == "stcn_small":
        sizes += [f"model.value_encoder.trunk.widths={[8] * (stride.bit_length() - 1)}"]
    else:
        sizes += ["model.value_encoder.trunk.name=resnet18"]
    sizes += ["model.decoder.width=8"] if decoder == "stm" else [f"model.decoder.widths={[8] * levels}"]
    if row["model/refiner"].startswith("intra_clip"):
        sizes += ["model.refiner.key_dim=16", "model.refiner.window=[2,2,2]"]
    return sizes


def small_matching(row: Row) -> list[str]:
    """Sizes of a matching network's parts."""
    stages = 3 if row["model/ensembler"] == "cfbi" else 2
    sizes = [
        "model.embedding_dim=8",
        f"model.ensembler.widths={[16] * stages}",
        f"model.ensembler.dilations={[[1]] * stages}",
        "model.ensembler.out_channels=16",
        "model.ensembler.prehead=8",
        "model.decoder.width=16",
        "model.decoder.skip_width=8",
        *small_encoder(row["model/encoder"]),
    ]
    matcher = row["model/matcher"]
    if matcher in ("pixel", "aoc", "aoc_released"):
        place = {"pixel": "", "aoc": "pixel.", "aoc_released": "matchers.pixel."}[matcher]
        sizes += [f"model.matcher.{place}windows=[1,2]"]
    if matcher == "aoc":
        sizes += ["model.matcher.levels=[1,4,pixel]"]
    return sizes
