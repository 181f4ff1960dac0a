"""The page of `annotate`, as a person uses it."""

import cv2
import numpy as np
import pytest
from annotating import annotating
from browser import opened, too_wide
from playwright.sync_api import expect
from scenes import ToyVideo

import vosfw
from vosfw.cli.main import main
from vosfw.data.io import read_mask, write_video

SIZE = (96, 128)
FRAMES = 9
MIDDLE = 4


@pytest.fixture(scope="module")
def toy():
    return ToyVideo(FRAMES, objects=2, size=SIZE)


@pytest.fixture(scope="module")
def video(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "squares.mp4"
    with write_video(path, 10, SIZE) as film:
        for t in range(FRAMES):
            film.add(toy.frame(t))
    return path


@pytest.fixture(scope="module")
def model():
    return vosfw.load()


class Hand:
    """Clicks and drags at pixels of the video."""

    def __init__(self, page):
        self.page = page

    def at(self, x, y):
        box = self.page.locator("#stage").bounding_box()
        return box["x"] + x * box["width"] / SIZE[1], box["y"] + y * box["height"] / SIZE[0]

    def click(self, *points):
        for x, y in points:
            self.page.mouse.click(*self.at(x, y))

    def drag(self, *points):
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point))
        self.page.mouse.up()

    def go(self, t):
        self.page.locator("#slider").fill(str(t))
        expect(self.page.locator("#where")).to_contain_text(f"frame {t + 1} of {FRAMES}")

    def says(self, text):
        expect(self.page.locator("#guide")).to_contain_text(text)

    def propagate(self):
        self.page.get_by_role("button", name="Propagate").click()
        expect(self.page.locator("#guide")).to_contain_text("Step 3", timeout=30_000)
        expect(self.page.locator("#stop")).to_be_hidden()

    def colors(self):
        """Different opaque or tinted colours of the masks that are shown."""
        script = """c => {
            const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, found = new Set();
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) found.add(data.slice(i, i + 3).join());
            return found.size;
        }"""
        return self.page.locator("#masks").evaluate(script)


def corners(toy, t, id_):
    """A box around an object: left, top, right, bottom, in edges of pixels."""
    ys, xs = np.nonzero(toy.labels[t].numpy() == id_)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def outline(toy, t, id_):
    left, top, right, bottom = corners(toy, t, id_)
    return (left, top), (right, top), (right, bottom), (left, bottom)


def overlap(ids, toy, t, id_):
    truth = toy.labels[t].numpy() == id_
    return (truth & (ids == id_)).sum() / (truth | (ids == id_)).sum()


def test_two_objects_are_drawn_propagated_corrected_and_saved(browser, model, video, toy, tmp_path, capsys):
    out = tmp_path / "out"
    with annotating(model, out, video) as server, opened(browser, server.url) as page:
        hand = Hand(page)
        hand.says("Step 1")
        assert page.get_by_role("button", name="Propagate").is_disabled()
        page.get_by_role("button", name="Outline").click()
        hand.click(*outline(toy, 0, 1)[:2])
        hand.says("2 points")
        page.keyboard.press("Escape")
        hand.says("Step 1")
        hand.click(*outline(toy, 0, 1))
        page.keyboard.press("Enter")
        hand.says("Step 2: 1 object marked")

        page.get_by_role("button", name="Add object").click()
        page.keyboard.press("b")
        page.locator("#size").fill("6")
        left, top, right, bottom = corners(toy, 0, 2)
        rows = [top + 3 + 4.5 * k for k in range(5)]
        hand.drag(*[point for y in rows for point in ((left + 3, y), (right - 3, y))])
        hand.says("2 objects marked")
        drawn = read_mask(out / ".annotate" / "squares" / "given" / "00000.png").numpy()
        assert overlap(drawn, toy, 0, 1) > 0.95
        assert overlap(drawn, toy, 0, 2) > 0.85
        hand.drag((60, 5), (90, 5))
        page.keyboard.press("Control+z")
        expect(page.locator("#undo")).to_be_enabled()
        hand.says("Step 2")

        hand.propagate()
        for t in (1, FRAMES - 1):
            hand.go(t)
            expect(page.locator("#where")).to_contain_text("propagated")
            assert hand.colors() == 2
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#where")).to_contain_text(f"frame {FRAMES - 1} of")

        hand.go(MIDDLE)
        page.keyboard.press("e")
        left, top, right, bottom = corners(toy, MIDDLE, 1)
        hand.drag((left + 3, top - 3), (left + 3, bottom + 3))
        hand.says("This frame was changed")
        page.keyboard.press("1")
        page.keyboard.press("p")
        hand.click(*outline(toy, MIDDLE, 1))
        hand.click(outline(toy, MIDDLE, 1)[0])
        page.keyboard.press("e")
        hand.drag((left + 10, top - 3), (left + 10, bottom + 3))
        expect(page.locator("#where")).to_contain_text("drawn")
        assert page.locator("#both").is_checked()
        hand.propagate()
        page.get_by_role("button", name="Save", exact=True).click()
        hand.says(f"Saved: {FRAMES} masks")
        assert not too_wide(page)

    masks = [read_mask(out / "masks" / "squares" / f"{t:05d}.png", SIZE).numpy() for t in range(FRAMES)]
    assert {tuple(np.unique(ids)) for ids in masks} == {(0, 1, 2)}
    for id_ in (1, 2):
        for t in set(range(FRAMES)) - {MIDDLE, MIDDLE - 1, MIDDLE + 1}:
            assert overlap(masks[t], toy, t, id_) > 0.75, (t, id_)
    # What was drawn is what is saved, to the pixel: the strip that was wiped out is as wide as the eraser.
    strip = masks[MIDDLE][top + 2 : bottom - 2, left:right] == 1
    assert (~strip).sum(1).tolist() == [6] * (bottom - top - 4)
    assert main(["check", str(out), "--quiet"]) == 0
    assert "0 errors" in capsys.readouterr().out


def test_outlines_and_strokes_cover_pixels_as_the_library_does(browser, model, video, tmp_path):
    from vosfw.data.outline import fill

    rng = np.random.default_rng(0)
    program = """async ([points, stroke]) => {
        const {Ids} = await import("/ids.js"), {encodePng} = await import("/png.js");
        const ids = new Ids(128, 96);
        ids.fill(points, 200);
        ids.stroke(stroke[0], stroke[1], 7.3, 9);
        const file = await encodePng(ids.data, 128, 96);
        return [...new Uint8Array(await file.arrayBuffer())];
    }"""
    with annotating(model, tmp_path / "out", video) as server, opened(browser, server.url) as page:
        for _ in range(5):
            points, stroke = rng.uniform(-20, 140, (7, 2)), rng.uniform(0, 90, (2, 2))
            data = bytes(page.evaluate(program, [points.tolist(), stroke.tolist()]))
            ids = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            wanted = np.where(fill(points, SIZE), 200, 0)
            y, x = np.mgrid[:96, :128] + 0.5
            way = stroke[1] - stroke[0]
            along = np.clip(((x - stroke[0, 0]) * way[0] + (y - stroke[0, 1]) * way[1]) / (way @ way), 0, 1)
            far = np.hypot(x - stroke[0, 0] - along * way[0], y - stroke[0, 1] - along * way[1])
            assert (ids == np.where(far <= 7.3, 9, wanted)).all()


def test_a_phone_brings_a_video_and_draws(browser, model, video, tmp_path):
    with (
        annotating(model, tmp_path / "out") as server,
        opened(browser, server.url, width=390, height=844) as page,
    ):
        hand = Hand(page)
        hand.says("Choose a video file")
        assert not too_wide(page)
        page.locator("#file").set_input_files(video)
        hand.says("Step 1")
        assert not too_wide(page)
        hand.drag((10, 50), (30, 60))
        hand.says("Step 2")
        page.get_by_role("button", name="Outline").click()
        place = page.locator("#stage").bounding_box()
        for point in ((60, 20), (90, 20), (80, 50)):
            hand.click(point)
            assert page.locator("#stage").bounding_box() == place  # it does not move under the finger
        assert not too_wide(page)
        page.get_by_role("button", name="Close outline").click()
        hand.go(3)
        expect(page.locator("#where")).to_contain_text("no mask yet")
        expect(page.locator("#error")).to_be_hidden()
        page.evaluate(
            "() => { window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError('no line')); }"
        )
        page.get_by_role("button", name="Paint").click()
        hand.drag((10, 50), (30, 60))
        expect(page.locator("#error")).to_contain_text("does not answer")
        page.evaluate("() => { window.fetch = window.real; }")
        hand.drag((40, 50), (50, 60))
        expect(page.locator("#error")).to_be_hidden()
        given = read_mask(tmp_path / "out" / ".annotate" / "upload" / "given" / "00003.png").numpy()
        assert given[55, 20] == given[55, 45] == 1


def test_a_mask_that_comes_late_does_not_lead_back_to_its_frame(browser, model, video, toy, tmp_path):
    """Else what is drawn in the frame that is shown would be taken for the mask of another one."""
    given = tmp_path / "out" / ".annotate" / "squares" / "given"
    with annotating(model, tmp_path / "out", video) as server, opened(browser, server.url) as page:
        hand, late = Hand(page), []
        expect(page.locator("#where")).to_contain_text(f"frame 1 of {FRAMES}")
        hand.drag((10, 10), (40, 10))
        hand.says("1 object marked")
        page.route("**/api/mask/0", lambda route: late.append(route))
        page.get_by_role("button", name="Propagate").click()
        # The state is asked for again and again meanwhile, and with it the mask that is shown.
        while not late:
            page.wait_for_timeout(20)
        hand.go(5)
        with page.expect_response("**/api/mask/0"):
            late[0].continue_()
        page.unroute("**/api/mask/0")
        expect(page.locator("#stop")).to_be_hidden(timeout=30_000)
        expect(page.locator("#where")).to_contain_text(f"frame 6 of {FRAMES}")
        with page.expect_response("**/api/mask/*"):
            hand.drag((10, 60), (40, 60))
        assert sorted(path.name for path in given.glob("*.png")) == ["00000.png", "00005.png"]
