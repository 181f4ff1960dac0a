"""What docstrings say, read by Griffe without importing anything, and the pages of the API reference."""

import re
from functools import cache
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "api"
DEFINES = re.compile(r"^(class|def) [^_]", re.MULTILINE)
INDEX = (
    "# Python",
    "`import vosfw` gives [`load`][vosfw.hub.load], [`list_models`][vosfw.hub.list_models],",
    "[`segment_video`][vosfw.segment.segment_video] and [`Predictor`][vosfw.predictor.Predictor]. These pages are made",
    "from the docstrings. Shapes are those of jaxtyping, letters mean",
    "",
    "| letter | meaning |",
    "| --- | --- |",
    "| `B` `T` | videos of a batch; frames of a clip |",
    "| `K` | object slots, without the background |",
    "| `O` | rows that a part works on: `K` or `K+1` (row 0 is the background) |",
    "| `Y X`, `H W`, `h w` | pixels of masks; pixels of the network's input; cells of a feature map |",
    "| `C` `D` | channels; width of an object's descriptor |",
    "| `N` `P` `R` | cells in memory; proxies per object; reference frames |",
)
PACKAGES = ("vosfw", "callbacks")
DATA = (
    "datamodule",
    "dataset",
    "video",
    "davis",
    "youtube_vos",
    "folder",
    "static_images",
    "synthetic",
    "mixture",
    "own",
)
DATA += ("sampler", "augment", "photograph", "io", "video_file", "overlay", "importing", "doctor", "export")
NETWORKS = ("memory_network", "matching_network", "copy_first", "layers.trunk")
SINGLE = {
    "vosfw": ("Loading, streaming, segmenting", ["vosfw.hub", "vosfw.predictor", "vosfw.segment", "vosfw.errors"]),
    "contracts": ("What networks and parts promise", ["vosfw.interfaces", "vosfw.types", "vosfw.config"]),
    "training": ("The Lightning module and schedules", ["vosfw.module", "vosfw.scheduler"]),
    "model": ("Networks", [f"vosfw.model.{name}" for name in NETWORKS]),
    "data": ("Readers, samplers, augmentation, files", [f"vosfw.data.{name}" for name in DATA]),
}
"""Pages of chosen modules: what they are about, and the modules."""
ROLES = {
    "encoder": "Frames to maps",
    "value_encoder": "Frames and masks to values",
    "matcher": "Distances to references",
    "proxy": "A few vectors per object",
    "pool": "References of matching networks",
    "memory": "What is kept of frames, and how it is read",
    "modulator": "Propagation and correction",
    "ensembler": "Matching maps to object maps",
    "gate": "Channel gates by object",
    "refiner": "Read-outs of a clip, refined together",
    "decoder": "Maps to logits",
}
FOLDERS = {
    "vosfw/engine": "The loop over frames, and its options",
    "vosfw/engine/interference": "Noise and attacks on remembered masks",
    "vosfw/loss": "Losses",
    "vosfw/metrics": "J, F and statistics",
    "vosfw/data/perturbation": "Perturbed videos",
    **{f"vosfw/model/{role}": about for role, about in ROLES.items()},
    "vosfw/ops": "Tensor functions",
    "vosfw/analysis": "Diagnostics",
    "callbacks": "Lightning callbacks",
}
"""Pages of all modules of a folder, and what they are about."""


def pages() -> dict[str, str]:
    """Markdown of every page of the API reference, by its place in the documentation."""
    index = [*INDEX, "", "| page | what is in it |", "| --- | --- |"]
    made = {}
    for name, (about, modules) in _contents().items():
        index.append(f"| [{_title(name)}]({name}.md) | {about} |")
        described = "".join(f"\n::: {module}\n" for module in modules)
        made[f"{FOLDER}/{name}.md"] = f"# {_title(name)}\n{about}.\n{described}"
    return {f"{FOLDER}/index.md": "\n".join(index) + "\n", **made}


def page_of(module: str) -> str | None:
    """The page that describes a module; None if it is on none."""
    return next((f"{FOLDER}/{name}.md" for name, (_, modules) in _contents().items() if module in modules), None)


def _title(name: str) -> str:
    """A page of a folder is called like its package."""
    return f"vosfw.{name.replace('/', '.')}" if f"vosfw/{name}" in FOLDERS else name


@cache
def _contents() -> dict[str, tuple[str, list[str]]]:
    """What each page is about, and its modules."""
    made = {folder.removeprefix("vosfw/"): (about, _modules(folder)) for folder, about in FOLDERS.items()}
    return SINGLE | made


def _modules(folder: str) -> list[str]:
    """Modules of a folder that define something, its own one included."""
    paths = [path for path in sorted((ROOT / folder).glob("*.py")) if DEFINES.search(path.read_text())]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]


@cache
def _package(name: str) -> griffe.Module:
    found = griffe.load(name, search_paths=[str(ROOT)], docstring_parser=griffe.Parser.google)
    assert isinstance(found, griffe.Module)
    return found


def _found(target: str) -> griffe.Object | None:
    package, _, path = target.partition(".")
    if package not in PACKAGES:
        return None
    try:
        found = _package(package)[path]
    except KeyError:
        return None
    return found if isinstance(found, griffe.Object) else None


def summary(target: str) -> str:
    """First sentence of the docstring of a class or function of ours; empty without one."""
    found = _found(target)
    if found is None or found.docstring is None:
        return ""
    first = found.docstring.value.split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<!eq)(?<!al)\. (?=[A-Z])", first)[0].rstrip(".")


def argument(target: str, name: str) -> str:
    """What the docstring of a class or function of ours, or of a class above it, says of an argument; or empty."""
    found = _found(target)
    if found is None:
        return ""
    above = found.mro() if isinstance(found, griffe.Class) else []
    for each in [found, *above]:
        sections = each.docstring.parsed if each.docstring is not None else []
        for section in sections:
            if isinstance(section, griffe.DocstringSectionParameters):
                for parameter in section.value:
                    if parameter.name == name:
                        return " ".join(parameter.description.split())
    return ""
