"""The documentation site: built strictly, complete, looked at in a browser, and in need of no network."""

import ast
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import address_of, opened, too_wide

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
GROUPS = sorted({path.parent.relative_to(CONFIGS) for path in CONFIGS.glob("*/**/*.yaml")})
GROUPS = [group for group in GROUPS if "local" not in group.parts]


class Page(HTMLParser):
    """What a page loads, the places that links can lead to, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note addresses and places."""
        values = {key: value or "" for key, value in attrs}
        self.ids.add(values.get("id", ""))
        if tag in LOADS:
            self.loads.append(values.get(LOADS[tag], ""))
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev", "alternate"):
            self.loads.append(values.get("href", ""))

    def handle_data(self, data: str) -> None:
        """Gather text."""
        self.text += data


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The site, and what its build said."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stderr


@pytest.fixture(scope="module")
def pages(built) -> dict[str, Page]:
    return {path.relative_to(built[0]).as_posix(): Page(path) for path in built[0].rglob("*.html")}


def words(text: str) -> str:
    return " ".join(text.replace("`", "").split())


def test_the_strict_build_warns_of_nothing(built):
    assert "WARNING" not in built[1] and "ERROR" not in built[1], built[1]


def test_nothing_is_loaded_from_elsewhere(built, pages):
    for name, page in pages.items():
        assert page.loads, name
        assert not [load for load in page.loads if re.match(r"(https?:)?//", load)], name
    for sheet in built[0].rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text()), sheet


@pytest.mark.parametrize("group", [group for group in GROUPS if group.parts[0] != "experiment"], ids=str)
def test_a_group_has_a_page_with_its_choices(pages, group):
    page = pages[f"configuration/{group.as_posix()}.html"]
    assert {path.stem for path in (CONFIGS / group).glob("*.yaml")} <= page.ids


def test_experiments_are_listed(pages):
    page = pages["configuration/experiment.html"]
    folder = CONFIGS / "experiment"
    names = {path.relative_to(folder).with_suffix("").as_posix().replace("/", "-") for path in folder.rglob("*.yaml")}
    assert names <= page.ids
    assert "How much the first centres of K-Means matter" in page.text


@pytest.mark.parametrize(
    "name", ["train", "evaluate", "engine/default", "loss/cycle", "data/perturbation/fog", "model/encoder/deeplab_r101"]
)
def test_options_are_shown_with_their_comments(pages, name):
    lines = (CONFIGS / f"{name}.yaml").read_text().splitlines()
    # One line of comment between two keys: read here more simply than the site does it.
    found = [
        (lines[i][2:], lines[i + 1].partition(":")[0])
        for i in range(1, len(lines) - 1)
        if lines[i].startswith("# ") and re.match(r"\w+: \S", lines[i + 1]) and not lines[i - 1].startswith("#")
    ]
    assert found
    shown = words(pages[f"configuration/{name if '/' not in name else Path(name).parent.as_posix()}.html"].text)
    for comment, key in found:
        assert re.search(rf"\b{key} \S.{{0,80}}? {re.escape(words(comment))}", shown), (key, comment)


def test_an_option_without_a_comment_is_described_by_its_class(pages):
    shown = words(pages["configuration/model/memory.html"].text)
    assert "top_k 20 Memory cells that count for a query at inference; None for all." in shown


def test_every_composition_is_in_the_list_of_models(pages):
    names = {path.stem for path in (CONFIGS / "model").glob("*.yaml")}
    assert names <= set(re.findall(r"\w+", pages["models/index.html"].text))


def imported(path: Path) -> dict[str, str]:
    """Where the names come from that a package imports."""
    nodes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: f"{node.module}.{alias.name}" for node in nodes for alias in node.names}


def defined(target: str) -> str:
    """The place of a class that a package hands on, without importing either."""
    module, _, name = target.rpartition(".")
    package = ROOT / module.replace(".", "/") / "__init__.py"
    return imported(package).get(name, target) if package.is_file() else target


def test_public_names_and_parts_are_in_the_reference(pages):
    ids = set().union(*(page.ids for name, page in pages.items() if name.startswith("api/")))
    configs = "\n".join(path.read_text() for path in CONFIGS.rglob("*.yaml"))
    targets = re.findall(r"^ *_target_: ((?:vosfw|callbacks)\.\S+)", configs, re.MULTILINE)
    assert targets
    assert {defined(target) for target in targets} <= ids
    assert set(imported(ROOT / "vosfw" / "__init__.py").values()) <= ids
    # Shapes keep their quotes, of one word too.
    assert "written: Integer[Tensor, 'n']" in words(pages["api/model/memory.html"].text)


def test_links_out_of_docs_lead_to_pages(built, pages):
    assert 'href="notebooks/04_why_did_it_fail.html"' in (built[0] / "cyclic.html").read_text()
    assert (built[0] / "notebooks" / "04_why_did_it_fail.ipynb").is_file()
    assert "Unreleased" in pages["changelog.html"].text and "Adding a part" in pages["contributing.html"].text


def test_how_to_pages_are_in_the_navigation(built):
    shown = (built[0] / "how_to_segment.html").read_text()
    for path in (ROOT / "docs").glob("how_to_*.md"):
        assert f'href="{path.stem}.html"' in shown


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_in_a_browser(built, browser, width):
    for name in ("index", "tutorial", "models/stcn", "configuration/train", "api/engine", "coming_from"):
        with opened(browser, address_of(built[0] / f"{name}.html"), width=width) as page:
            assert not too_wide(page), name
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_search_works_without_a_server(built, browser):
    with opened(browser, address_of(built[0] / "index.html")) as page:
        page.click("input[name=query]")
        page.keyboard.type("PCVOS")
        result = page.locator(".md-search-result__link", has_text="PCVOS").first
        result.wait_for(timeout=20_000)
        assert "models/pcvos.html" in page.locator(".md-search-result__list").inner_html()
