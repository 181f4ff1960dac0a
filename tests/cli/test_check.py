"""Every fault is found and named, with its remedy, and none crashes."""

import re
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from layouts import boxes, make_davis, make_folder, make_youtube, picture, save_frame
from PIL import Image

from vosfw.cli.main import main
from vosfw.data.davis import DavisDataset
from vosfw.data.io import write_mask

SIZE = (24, 32)


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - len(data) // 20])


def soft(path, mode="L", color=255):
    image = Image.new(mode, (4 * SIZE[1], 4 * SIZE[0]))
    image.paste(color, (20, 20, 77, 71))
    image.rotate(20, Image.Resampling.BICUBIC).resize(SIZE[::-1], Image.Resampling.LANCZOS).save(path)


def noise(path, shape=(*SIZE, 3), dtype=np.uint8, top=256):
    Image.fromarray(np.random.default_rng(0).integers(1, top, shape).astype(dtype)).save(path)


def huge(path):
    """A PNG whose header claims 60,000 pixels a side."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b""))


def frames(root):
    return root / "JPEGImages" / "480p"


def masks(root):
    return root / "Annotations" / "480p"


def rename(path, name):
    path.rename(path.with_name(name))


DAVIS = {
    "missing frame": (lambda r: (frames(r) / "cat/00002.jpg").unlink(), r"No frame '00002' after '00001\.jpg'.*Add it"),
    "frame cut off": (lambda r: cut(frames(r) / "cat/00001.jpg"), r"00001\.jpg' cannot be decoded.*export it again"),
    "empty frame": (lambda r: (frames(r) / "dog/00003.jpg").write_bytes(b""), r"dog/00003\.jpg.*no picture"),
    "text for a frame": (lambda r: (frames(r) / "dog/00000.jpg").write_text("hello"), r"dog/00000\.jpg.*no picture"),
    "frame size": (
        lambda r: save_frame(frames(r) / "cat/00001.jpg", picture(1, (20, 32))),
        "20x32, most frames 24x32",
    ),
    "mask size": (
        lambda r: write_mask(masks(r) / "cat/00001.png", boxes((1,), 0, (20, 32))),
        "20x32, its video's frames 24x32.*resize",
    ),
    "empty first mask": (
        lambda r: write_mask(masks(r) / "cat/00000.png", torch.zeros(SIZE, dtype=torch.uint8)),
        "No object in the first mask.*Draw",
    ),
    "unlabelled mask": (
        lambda r: write_mask(masks(r) / "cat/00000.png", torch.full(SIZE, 255, dtype=torch.uint8)),
        "Every pixel is 255",
    ),
    "mask cut off": (lambda r: cut(masks(r) / "cat/00001.png"), r"00001\.png' cannot be decoded"),
    "photograph for a mask": (lambda r: noise(masks(r) / "cat/00000.png"), "different colours.*photograph"),
    "soft edges": (
        lambda r: soft(masks(r) / "cat/00000.png"),
        r"soft edges: \d+ pixels with \d+ stray values.*nearest",
    ),
    "soft colours": (lambda r: soft(masks(r) / "cat/00000.png", "RGB", (255, 0, 0)), r"soft edges.*\(\d+, 0, 0\)"),
    "half transparent": (
        lambda r: Image.new("RGBA", SIZE[::-1], (255, 0, 0, 90)).save(masks(r) / "cat/00000.png"),
        "half transparent",
    ),
    "float mask": (
        lambda r: (
            Image.new("F", SIZE[::-1]).save(r / "f.tif"),
            rename(r / "f.tif", "f.png"),
            shutil.move(r / "f.png", masks(r) / "cat/00001.png"),
        ),
        "F picture.*palette PNG",
    ),
    "mask without frame": (
        lambda r: write_mask(masks(r) / "cat/00009.png", boxes((1,), 0)),
        r"00009\.png: No frame of this name; there are '00000' to '00003'",
    ),
    "no first mask": (
        lambda r: (masks(r) / "cat/00000.png").unlink(),
        r"No mask for the first frame '00000'.*Add 00000\.png",
    ),
    "video without frames": (lambda r: [p.unlink() for p in (frames(r) / "dog").iterdir()], "dog.*No frames in"),
    "masks of no video": (lambda r: shutil.rmtree(frames(r) / "dog"), "Masks without frames.*remove them"),
    "video without masks": (lambda r: shutil.rmtree(masks(r) / "dog"), "No masks for the video 'dog'.*Add"),
    "unknown name in a list": (
        lambda r: (r / "ImageSets/2017/val.txt").write_text("bird\nbrid\n"),
        r"val\.txt: It names 'brid'.*strike it out",
    ),
    "empty list": (lambda r: (r / "ImageSets/2017/val.txt").write_text(""), "list is empty. Fill or delete"),
    "two frames of a name": (
        lambda r: save_frame(frames(r) / "cat/00001.png", picture(1)),
        "Two frames named '00001'.*Keep one",
    ),
    "two frames of a number": (lambda r: save_frame(frames(r) / "cat/1.jpg", picture(1)), "same number as.*Keep one"),
    "masks as JPEG": (
        lambda r: (shutil.rmtree(masks(r) / "dog"), save_frame(masks(r) / "dog/00000.jpg", picture(0))),
        "mask as JPEG.*PNG",
    ),
    "kinds of masks": (
        lambda r: Image.fromarray(boxes((255,), 1).numpy()).save(masks(r) / "cat/00001.png"),
        "several kinds.*3 palette, 1 binary.*same way",
    ),
    "first frame size": (
        lambda r: save_frame(frames(r) / "cat/00000.jpg", picture(0, (20, 32))),
        r"cat/00000\.jpg: 20x32, most frames 24x32(?s:.)*\n1 error,",
    ),
    "huge frame": (
        lambda r: ((frames(r) / "cat/00002.jpg").unlink(), huge(frames(r) / "cat/00002.png")),
        r"00002\.png' is no picture.*exceeds limit",
    ),
    "16-bit frame": (
        lambda r: (
            (frames(r) / "cat/00002.jpg").unlink(),
            noise(frames(r) / "cat/00002.png", SIZE, np.uint16, 60_000),
        ),
        r"00002\.png' is a I;16 picture.*8 bits per channel",
    ),
    "copy of a frame": (
        lambda r: shutil.copy(frames(r) / "cat/00001.jpg", frames(r) / "cat/00001 (1).jpg"),
        r"00001 \(1\)\.jpg: Its name is no number.*remove it",
    ),
    "JPEG named PNG": (
        lambda r: Image.open(masks(r) / "cat/00001.png").convert("RGB").save(masks(r) / "cat/00001.png", "JPEG"),
        r"cat/00001\.png' is a JPEG.*PNG",
    ),
    "list in UTF-16": (
        lambda r: (r / "ImageSets/2017/val.txt").write_text("bird\n", encoding="utf-16"),
        r"val\.txt' is no UTF-8 text.*Save it as UTF-8",
    ),
    "no folder of masks": (
        lambda r: shutil.rmtree(r / "Annotations"),
        r"Annotations/480p: No such folder\. Put the masks of",
    ),
    "folder of masks in capitals": (
        lambda r: rename(masks(r), "480P"),
        r"No such folder.*Rename '.*Annotations/480P'",
    ),
    "too many objects": (
        lambda r: noise(masks(r) / "cat/00000.png", SIZE, np.uint16, 60000),
        "at most 254 fit|soft edges",
    ),
}
YOUTUBE = {
    "damaged meta.json": (
        lambda r: (r / "valid/meta.json").write_text("{"),
        "no meta.json of YouTube-VOS.*Copy it again",
    ),
    "meta.json of more videos": (
        lambda r: shutil.rmtree(r / "valid/JPEGImages/b"),
        "names 'b', of which there are no frames",
    ),
    "nothing drawn": (
        lambda r: [write_mask(p, torch.zeros(SIZE, dtype=torch.uint8)) for p in (r / "valid/Annotations/b").iterdir()],
        "No object in any mask",
    ),
}
FOLDER = {
    "list in Latin-1": (
        lambda r: (r / "train.txt").write_bytes("walk\nb\u00e4r\n".encode("latin-1")),
        r"train\.txt' is no UTF-8 text",
    ),
    "damaged video file": (lambda r: (r / "frames/run.mp4").write_bytes(b"no video"), r"run\.mp4"),
    "two videos of a name": (lambda r: (r / "frames/run").mkdir(), "second video of the name.*Keep one"),
    "mask beyond the end": (
        lambda r: write_mask(r / "masks/run/00099.png", boxes((7,), 1)),
        "there are '00000' to '00005'",
    ),
    "no folder of frames": (lambda r: rename(r / "frames", "frame"), "no layout that vosfw knows.*--layout"),
    "a list that errs": (lambda r: (r / "train.txt").write_text("walk\nrum\n"), r"train\.txt: It names 'rum'"),
}
MAKE = {"davis": make_davis, "youtube": make_youtube, "folder": make_folder}
FAULTS = [
    (layout, name) for layout, faults in (("davis", DAVIS), ("youtube", YOUTUBE), ("folder", FOLDER)) for name in faults
]


@pytest.mark.parametrize("layout", MAKE)
def test_what_is_well_is_found_well(layout, tmp_path, capsys):
    MAKE[layout](tmp_path / "data")
    assert main(["check", str(tmp_path / "data"), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert f"({layout})" in out and "0 errors" in out
    rows = {
        "davis": "cat +4 +4 +2 +24x32 +palette",
        "youtube": "valid/b +4 +2 +2 +24x32",
        "folder": "run +6 +1 +1 +24x32",
    }
    assert re.search(rows[layout], out)


@pytest.mark.parametrize(("layout", "fault"), FAULTS)
def test_a_fault_is_found(layout, fault, tmp_path, capsys):
    root = MAKE[layout](tmp_path / "data")
    spoil, said = {"davis": DAVIS, "youtube": YOUTUBE, "folder": FOLDER}[layout][fault]
    spoil(root)
    assert main(["check", str(root), "--quiet"]) == 1
    captured = capsys.readouterr()
    assert re.search(said, captured.out + captured.err), captured.out + captured.err


def test_things_to_note_are_no_errors(tmp_path, capsys):
    root = make_davis(tmp_path / "data")
    write_mask(masks(root) / "cat/00002.png", boxes((1, 2, 3), 2))
    (frames(root) / "cat" / "thumbs.db").write_text("")
    shutil.rmtree(root / "ImageSets")
    assert main(["check", str(root), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "Objects 3 are not in the first mask" in out and ".db" in out and "No lists" in out and "3 notes" in out


def test_capitals_and_byte_order_marks_are_no_faults(tmp_path, capsys):
    root = make_davis(tmp_path / "data")
    for path in sorted(masks(root).glob("*/*.png")):
        path.rename(path.with_suffix(".PNG"))
    (root / "ImageSets/2017/val.txt").write_text("bird\nsingle\n", encoding="utf-8-sig")
    assert main(["check", str(root), "--quiet"]) == 0
    assert re.search("cat +4 +4 +2 +24x32", capsys.readouterr().out)
    dataset = DavisDataset(root, "val")
    assert dataset.videos == ("bird", "single") and dataset.annotated == [[0, 1, 2, 3], [0]]


def test_a_folder_above_or_missing(tmp_path, capsys):
    make_davis(tmp_path / "deep" / "data")
    for above in (tmp_path / "deep", tmp_path):
        assert main(["check", str(above)]) == 1
        assert f"Did you mean '{tmp_path / 'deep' / 'data'}'?" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "no")]) == 1
    assert "No folder" in capsys.readouterr().err


def test_many_videos_are_summed_up(tmp_path, capsys):
    for i in range(45):
        save_frame(tmp_path / "frames" / f"v{i:02d}" / "0.png", picture(0))
        write_mask(tmp_path / "masks" / f"v{i:02d}" / "0.png", boxes((1,), 0))
    assert main(["check", str(tmp_path), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "and 5 more (--all)" in out and "45 videos (folder)" in out and "v44" not in out
    assert main(["check", str(tmp_path), "--quiet", "--all"]) == 0
    assert "v44" in capsys.readouterr().out
