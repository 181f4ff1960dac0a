"""The command `annotate`, as a program asks its server."""

import gzip
import json
import shutil
import socket
import time
from threading import Event, Thread

import numpy as np
import pytest
import torch
from annotating import TOKEN, annotating, ask, png
from layouts import boxes, picture, save_frame
from PIL import Image

from vosfw.annotate.folder import WorkFolder
from vosfw.annotate.server import Server
from vosfw.cli.main import main
from vosfw.data.folder import FolderDataset
from vosfw.data.io import read_mask, write_mask, write_video
from vosfw.engine.engine import Engine
from vosfw.errors import ConfigError, UnsupportedError
from vosfw.model.copy_first import CopyFirst

SIZE = (24, 32)
FRAMES = 5


class Held(CopyFirst):
    """Copies the first mask, a frame whenever it may."""

    def __init__(self):
        super().__init__()
        self.may = Event()
        self.broken = False

    def segment(self, features, state):
        assert self.may.wait(20)
        if self.broken:
            raise UnsupportedError("this network cannot do it; take another")
        return super().segment(features, state)


@pytest.fixture
def model():
    held = Held()
    held.default_engine = Engine()
    held.may.set()
    return held


@pytest.fixture
def video(tmp_path):
    with write_video(tmp_path / "walk.mp4", 10, SIZE) as film:
        for t in range(FRAMES):
            film.add(picture(t))
    return tmp_path / "walk.mp4"


@pytest.fixture
def server(model, video, tmp_path):
    with annotating(model, tmp_path / "out", video) as running:
        yield running


def mask(*ids, t=0):
    return boxes(ids, t).numpy()


def shown(server, t):
    status, headers, data = ask(server, "GET", f"/api/mask/{t}")
    assert status == 200
    return np.frombuffer(gzip.decompress(data), np.uint8).reshape(SIZE), headers["X-Mask-Kind"]


def wait(server):
    for _ in range(1000):
        run = ask(server, "GET", "/api/state")[2]["run"]
        if not run["running"]:
            return run
        time.sleep(0.02)
    raise AssertionError("it did not end")


def propagate(server, **options):
    assert ask(server, "POST", "/api/propagate", json.dumps(options).encode())[0] == 202
    return wait(server)


def test_draw_propagate_correct_save_and_go_on(model, video, tmp_path, capsys):
    out = tmp_path / "out"
    with annotating(model, out, video) as server:
        assert ask(server, "POST", "/api/propagate", b"{}")[::2] == (
            409,
            {"error": "no object is marked yet; mark at least one, in any frame"},
        )
        assert ask(server, "PUT", "/api/mask/1", png(mask(1)))[0] == 200
        assert (read_mask(out / ".annotate" / "walk" / "given" / "00001.png").numpy() == mask(1)).all()
        run = propagate(server, both=True)
        assert (run["done"], run["total"], run["error"]) == (6, 6, None)
        assert [shown(server, t)[1] for t in range(FRAMES)] == ["result", "given", "result", "result", "result"]
        # A second object joins in a frame that was propagated: the first one stays in it.
        ask(server, "PUT", "/api/mask/3", png(mask(1) + mask(0, 2)))
        state = ask(server, "GET", "/api/state")[2]
        assert (state["given"], state["ids"], state["pending"], state["undo"]) == ([1, 3], [1, 2], True, 2)
    (out / ".annotate" / "walk" / "given" / ".0123.part").touch()
    with annotating(model, out, video) as server:
        assert not list(out.rglob("*.part"))
        state = ask(server, "GET", "/api/state")[2]
        assert (state["given"], state["results"], state["pending"]) == ([1, 3], [0, 1, 2, 3, 4], True)
        assert (shown(server, 3)[0] == mask(1) + mask(0, 2)).all()
        propagate(server)
        assert 2 in shown(server, 4)[0]
        status, _, saved = ask(server, "POST", "/api/save")
        assert (status, saved["masks"], saved["saved"], saved["pending"]) == (200, 5, True, False)
    assert main(["check", str(out), "--quiet"]) == 0
    assert "0 errors" in capsys.readouterr().out
    (clip,) = FolderDataset(out).videos
    data = FolderDataset(out).video(0)
    assert (clip, len(data), data.size) == ("walk", FRAMES, SIZE)
    assert (data.id_map(3).numpy() == mask(1) + mask(0, 2)).all()
    assert Image.open(out / "masks" / "walk" / "00004.png").mode == "P"


def test_undo_and_objects_that_were_wiped_out(server):
    ask(server, "PUT", "/api/mask/0", png(mask(1, 2)))
    propagate(server, both=False)
    assert 2 in shown(server, 2)[0]
    for again in (False, True):
        ask(server, "PUT", "/api/mask/2", png(mask(1)))
        assert set(np.unique(shown(server, 2)[0])) == {0, 1}
        if again:
            propagate(server)
            assert set(np.unique(shown(server, 2)[0])) == {0, 1}
        status, _, undone = ask(server, "POST", "/api/undo")
        assert (status, undone["frame"], undone["given"], undone["pending"]) == (200, 2, [0], True)
        if again:
            propagate(server)
        assert 2 in shown(server, 2)[0]
    ask(server, "POST", "/api/undo")
    assert ask(server, "POST", "/api/undo")[::2] == (409, {"error": "there is nothing to undo"})


def test_a_second_propagation_waits_its_turn_and_the_first_can_be_stopped(server, model):
    model.may.clear()
    ask(server, "PUT", "/api/mask/0", png(mask(1)))
    ask(server, "POST", "/api/propagate", b"{}")
    for path in ("/api/propagate", "/api/save"):
        status, _, said = ask(server, "POST", path, b"{}")
        assert status == 409
        assert "wait for the end" in said["error"]
    assert ask(server, "PUT", "/api/mask/4", png(mask(1)))[0] == 200  # drawing goes on
    assert ask(server, "POST", "/api/stop")[0] == 202
    model.may.set()
    run = wait(server)
    assert run["stopped"]
    assert run["done"] < run["total"]
    assert propagate(server)["stopped"] is False
    assert not ask(server, "GET", "/api/state")[2]["pending"]


def test_what_the_network_says_is_passed_on(server, model):
    model.broken = True
    ask(server, "PUT", "/api/mask/0", png(mask(1)))
    assert propagate(server)["error"] == "UnsupportedError: this network cannot do it; take another"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Host": "evil.example"}, "not called like that"),
        ({"Host": "127.0.0.1"}, "not called like that"),
        ({"Host": None}, "not called like that"),
        ({"Origin": "http://evil.example"}, "another page"),
        ({"Origin": "null"}, "another page"),
        ({"Origin": "http://127.0.0.1:1"}, "another page"),
        ({"Sec_Fetch_Site": "cross-site"}, "another page"),
        ({"X_Vosfw_Token": None}, "token"),
        ({"X_Vosfw_Token": "another"}, "token"),
        ({"X_Vosfw_Token": "\xe9"}, "token"),
    ],
)
def test_strangers_are_refused(server, headers, said):
    status, _, answer = ask(server, "PUT", "/api/mask/0", png(mask(1)), **headers)
    assert status == 403
    assert said in answer["error"]
    assert ask(server, "GET", "/api/state")[2]["given"] == []


def test_the_page_needs_the_token_and_is_guarded(server):
    status, headers, page = ask(server, "GET", f"/?token={TOKEN}", X_Vosfw_Token=None)
    assert status == 200
    assert b"vosfw annotate" in page
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert ask(server, "GET", "/", X_Vosfw_Token=None)[0] == 403
    status, headers, said = ask(server, "GET", "/api/state", X_Vosfw_Token=None)
    assert status == 403
    assert headers["Content-Security-Policy"]
    assert "token" in said["error"]
    port = server.server_address[1]
    same = {"Origin": f"http://localhost:{port}", "Host": f"localhost:{port}"}
    assert ask(server, "PUT", "/api/mask/0", png(mask(1)), **same)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/session.py",
        "/page.html",
        "/api/mask/../../secret",
        "/api/mask/..%2f..%2fsecret",
        "/api/frame/-1",
        "/api/frame/5",
        "/api/frame/99999999999",
        "/api/frame/%31",
        "/api/frame/1/",
    ],
)
def test_nothing_else_can_be_read(server, path):
    status, headers, said = ask(server, "GET", path)
    assert status == 404
    assert set(said) == {"error"}
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_links_in_the_folder_lead_nowhere(model, video, tmp_path):
    out, secret = tmp_path / "out", tmp_path / "secret.png"
    write_mask(secret, boxes((7,), 0))
    with annotating(model, out, video) as server:
        (out / ".annotate" / "walk" / "results" / "00002.png").symlink_to(secret)
        status, _, said = ask(server, "GET", "/api/mask/2")
        assert status == 422
        assert "link" in said["error"]
        ask(server, "PUT", "/api/mask/1", png(mask(1)))
        place = out / ".annotate" / "walk" / "given" / "00001.png"
        place.unlink()
        place.symlink_to(secret)
        assert ask(server, "GET", "/api/mask/1")[0] == 422
    shutil.rmtree(out / ".annotate" / "walk" / "given")
    (out / ".annotate" / "walk" / "given").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="is a link"):
        WorkFolder(out, "walk")


def test_masks_are_checked_before_they_are_decoded(server):
    huge = np.zeros((3000, 4000), np.uint8)
    for data, status, said in (
        (b"no picture", 400, "no PNG"),
        (png(mask(1))[:60], 400, "no PNG"),
        (png(mask(1)[:, :-1]), 422, "24x31, the frame 24x32"),
        (png(huge), 422, "3000x4000"),
        (png(mask(1), "RGB"), 422, "RGB picture"),
        (b"\xff\xd8" + bytes(200), 400, "no PNG"),
        (b"", 400, "no PNG"),
    ):
        answer = ask(server, "PUT", "/api/mask/0", data)
        assert answer[0] == status, answer[2]
        assert said in answer[2]["error"]
    assert ask(server, "PUT", "/api/mask/0", bytes(200_000))[0] == 413
    assert ask(server, "GET", "/api/state")[2]["given"] == []


def test_bodies_have_limits(server):
    assert ask(server, "POST", "/api/propagate", b" " * 2000)[0] == 413
    assert ask(server, "POST", "/api/propagate", b'{"both": 3}')[0] == 400
    assert ask(server, "POST", "/api/propagate", b"[")[0] == 400
    assert ask(server, "PUT", "/api/mask/0", None, Content_Length="many")[0] == 400
    assert ask(server, "PUT", "/api/mask/0", None, Content_Length="-1")[0] == 400
    assert ask(server, "PUT", "/api/mask/0", b"0\r\n\r\n", Content_Length=None, Transfer_Encoding="chunked")[0] == 411
    assert ask(server, "PUT", "/api/mask/0", None, Content_Length=str(10**12))[0] == 413
    assert ask(server, "DELETE", "/api/mask/0")[0] == 405
    assert ask(server, "BREW", "/api/mask/0")[0] == 501
    assert ask(server, "GET", "/" + "a" * 70_000)[0] == 414


def test_a_video_is_brought_by_the_page(model, video, tmp_path):
    out, playlist = tmp_path / "out", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    fake = b"\0\0\0\x18ftypisom" + bytes(500)
    with annotating(model, out, most_upload=50_000) as server:
        assert ask(server, "GET", "/api/about")[2]["video"] is None
        assert ask(server, "GET", "/api/state")[0] == 409
        for data, status in (
            (playlist, 415),
            (fake, 415),
            (b"", 400),
            (bytes(50_001), 413),
            (video.read_bytes()[:900], 415),
        ):
            assert ask(server, "PUT", "/api/video", data)[0] == status
        broken = video.read_bytes()
        line = socket.create_connection(server.server_address[:2])
        line.sendall(
            f"PUT /api/video HTTP/1.1\r\nHost: 127.0.0.1:{server.server_address[1]}\r\nX-Vosfw-Token: {TOKEN}\r\n"
            f"Content-Length: {len(broken)}\r\n\r\n".encode()
            + broken[:200]
        )
        line.shutdown(socket.SHUT_WR)
        assert b" 400 " in line.recv(1000)
        line.close()
        assert sorted(path.name for path in (out / ".annotate" / "upload").iterdir()) == ["given", "lock", "results"]
        status, _, about = ask(server, "PUT", "/api/video", video.read_bytes())
        assert (status, about["video"]["width"], len(about["video"]["names"])) == (200, 32, FRAMES)
        assert ask(server, "PUT", "/api/video", video.read_bytes())[0] == 409
        ask(server, "PUT", "/api/mask/0", png(mask(1)))
        assert ask(server, "POST", "/api/save")[2]["masks"] == 1
    assert (out / "frames" / "upload.mp4").read_bytes() == video.read_bytes()
    assert WorkFolder(out, "upload").uploaded == out / ".annotate" / "upload" / "upload.mp4"


def test_the_command_serves_goes_on_and_ends_cleanly(video, tmp_path, capsys, monkeypatch):
    serve, seen = Server.serve_forever, []

    def visited(self):
        thread = Thread(target=serve, args=(self, 0.02))
        thread.start()
        token = {"X_Vosfw_Token": self.url.partition("token=")[2]}
        seen.append(ask(self, "GET", "/api/state", **token)[2]["given"])
        seen.append(ask(self, "PUT", "/api/mask/2", png(mask(3)), **token)[0])
        self.shutdown()
        thread.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", visited)
    write_mask(tmp_path / "first.png", boxes((4,), 0))
    out = tmp_path / "out"
    command = ["annotate", str(video), "--out", str(out)]
    assert main([*command, "--masks", str(tmp_path / "first.png"), "--set", "engine.policy.every=3"]) == 0
    assert main(command) == 0
    assert seen == [[0], 200, [0, 2], 200]
    said = capsys.readouterr().out
    assert "Open  http://127.0.0.1:" in said
    assert "WARNING" not in said
    assert main([*command, "--host", "0.0.0.0"]) == 0
    assert "WARNING: 0.0.0.0 can be reached from other machines" in capsys.readouterr().out


def test_mistakes_are_explained_before_start(video, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").touch()
    write_mask(tmp_path / "small.png", torch.ones(4, 4, dtype=torch.uint8))
    for arguments, said in (
        ([str(video), "--out", str(other)], "holds other files (thesis.tex)"),
        ([str(video), "--port", "70000"], "--port is 70000"),
        ([str(tmp_path / "no.mp4")], "No video at"),
        ([str(video), "--masks", str(tmp_path / "small.png")], "is 4x4"),
        (["--masks", str(tmp_path / "small.png")], "name the video too"),
        ([str(video), "--host", "no.such.host.invalid"], "cannot listen"),
    ):
        more = [] if "--out" in arguments else ["--out", str(tmp_path / "new")]
        assert main(["annotate", *arguments, *more]) == 1
        assert said in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]


def test_another_video_or_program_in_the_folder(model, video, tmp_path):
    out = tmp_path / "out"
    with annotating(model, out, video), pytest.raises(ConfigError, match="by another program"):
        WorkFolder(out, "walk")
    (tmp_path / "b").mkdir()
    with write_video(tmp_path / "b" / "walk.mp4", 10, SIZE) as film:
        film.add(picture(3))
    with (
        pytest.raises(ConfigError, match="another video called 'walk'"),
        annotating(model, out, tmp_path / "b" / "walk.mp4"),
    ):
        pass
    # A second video joins the same data set.
    for t in (9, 10):
        save_frame(tmp_path / "run" / f"f_{t}.png", picture(t - 9))
    with annotating(model, out, tmp_path / "run") as server:
        ask(server, "PUT", "/api/mask/1", png(mask(1)))
        assert ask(server, "POST", "/api/save")[0] == 200
    assert sorted(path.name for path in (out / "frames" / "run").iterdir()) == ["f_10.png", "f_9.png"]
    assert [path.name for path in (out / "masks" / "run").iterdir()] == ["f_10.png"]
