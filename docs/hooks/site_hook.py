"""MkDocs calls this: it makes the pages that come from code, the navigation, and leads links to the right pages."""

import json
import logging
import posixpath
import re
from pathlib import Path
from typing import Any

import config_pages
import reference
from mkdocs.structure.files import File, Files

logger = logging.getLogger("mkdocs.hooks.site")
ROOT = Path(__file__).resolve().parents[2]
INCLUDED = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Files beside docs/ that are pages of the site."""
HOW_TO = ("segment", "annotate", "import", "finetune", "sweep", "evaluate", "compare", "report")
"""Their order; those that are not named come after."""
BOOST = {"models/": 3, "how_to": 2, "tutorial": 2, "tables/": 0.5, "changelog": 0.5}
"""Of pages in the results of a search, by the start of their place."""
MADE: dict[str, str] = {}
"""Pages of this build that are no files of docs/: Markdown by place."""
LINK = re.compile(r"```.*?```|`[^`\n]*`|(\]\()([^)\s#]+)(#[^)\s]*)?(?=\))", re.DOTALL)
"""A link, or code, in which there is none."""


def on_config(config: Any) -> Any:
    """The navigation: what is in docs/ and what is made, so that a new page needs no entry."""
    MADE.clear()
    MADE.update(_made())

    def under(folder: str) -> list[str]:
        return [place for place in MADE if place.startswith(f"{folder}/")]

    config.nav = [
        {"Home": ["index.md", "tutorial.md", "coming_from.md", *INCLUDED.values()]},
        {"How to": [*_how_to(), "robustness.md", "cyclic.md", *under("notebooks")]},
        {"Models": ["models/README.md", *_docs("models")]},
        {"Configuration": under(config_pages.FOLDER)},
        {"Python": under(reference.FOLDER)},
        {"Results": ["benchmarks.md", "tables/README.md", *_docs("tables")]},
    ]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from configurations, docstrings, notebooks and files beside docs/."""
    for place, content in MADE.items():
        files.append(File.generated(config, place, content=content))
    for path in _notebooks():
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links that work in the repository to their places on the site."""
    place = page.file.src_uri
    page.meta["search"] = {"boost": next((boost for start, boost in BOOST.items() if place.startswith(start)), 1)}
    if place.startswith((f"{config_pages.FOLDER}/", f"{reference.FOLDER}/")):
        return markdown
    homes = {made: name for name, made in INCLUDED.items()}
    homes |= {f"notebooks/{path.stem}.md": f"notebooks/{path.name}" for path in _notebooks()}
    home = homes.get(place, f"docs/{place}")

    def lead(found: re.Match[str]) -> str:
        link, anchor = found[2], found[3] or ""
        if link is None or "://" in link or link.startswith("mailto:"):
            return found[0]
        inside, own_anchor = _inside(posixpath.normpath(posixpath.join(posixpath.dirname(home), link)))
        if inside is None:
            logger.warning("%s links to %s, which is no part of the site", home, link)
            return found[0]
        return f"{found[1]}{posixpath.relpath(inside, posixpath.dirname(place) or '.')}{anchor or own_anchor}"

    return LINK.sub(lead, markdown)


def _inside(target: str) -> tuple[str | None, str]:
    """The page of the site for a path in the repository, and the place in it; None without one."""
    if target in INCLUDED:
        return INCLUDED[target], ""
    folder, _, rest = target.partition("/")
    stem, _, suffix = rest.rpartition(".")
    page: str | None = None
    anchor = ""
    if folder == "docs":
        page = f"{rest}/README.md" if (ROOT / target).is_dir() else rest
    elif folder == "notebooks" and suffix == "ipynb":
        page = f"notebooks/{stem}.md"
    elif folder == "configs" and suffix == "yaml":
        group, _, name = stem.rpartition("/")
        page, anchor = f"{config_pages.FOLDER}/{group or name}.md", f"#{name}" if group else ""
    elif folder == "configs":
        page = f"{config_pages.FOLDER}/{rest or 'index'}.md"
    elif folder in reference.PACKAGES and suffix == "py":
        module = f"{folder}.{stem.replace('/', '.')}"
        page, anchor = reference.page_of(module), f"#{module}"
    elif target == "README.md":
        page = "index.md"
    return page, anchor


def _made() -> dict[str, str]:
    """What ``MADE`` is to hold."""
    made = {place: (ROOT / name).read_text() for name, place in INCLUDED.items()}
    made |= {f"notebooks/{path.stem}.md": _notebook(path) for path in _notebooks()}
    return made | config_pages.pages(ROOT / "configs") | reference.pages()


def _notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def _notebook(path: Path) -> str:
    """A notebook's cells as Markdown, with a link to the file."""
    blocks = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        blocks.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join([blocks[0], f"Download: [{path.name}]({path.name})", *blocks[1:]]) + "\n"


def _how_to() -> list[str]:
    names = {path.stem.removeprefix("how_to_"): path.name for path in (ROOT / "docs").glob("how_to_*.md")}
    order = [name for name in HOW_TO if name in names]
    return [names[name] for name in [*order, *sorted(set(names) - set(order))]]


def _docs(folder: str) -> list[str]:
    return sorted(f"{folder}/{path.name}" for path in (ROOT / "docs" / folder).glob("*.md") if path.stem != "README")
