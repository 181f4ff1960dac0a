from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from vosfw.data.io import PALETTE, frame_size, read_frame, read_mask, write_mask
from vosfw.data.mask_file import COLOR, mask_kind
from vosfw.errors import DatasetError, OutputError


def disks(scale: int = 1, values: tuple[int, ...] = (255,)) -> Image.Image:
    """Greyscale disks side by side."""
    image = Image.new("L", (60 * scale * len(values), 60 * scale))
    for place, value in enumerate(values):
        left = 60 * scale * place
        ImageDraw.Draw(image).ellipse((left + 9 * scale, 9 * scale, left + 50 * scale, 50 * scale), fill=value)
    return image


def test_palette_is_that_of_davis() -> None:
    published = """0,0,0 128,0,0 0,128,0 128,128,0 0,0,128 128,0,128 0,128,128 128,128,128 64,0,0 191,0,0 64,128,0
        191,128,0 64,0,128 191,0,128 64,128,128 191,128,128 0,64,0 128,64,0 0,191,0 128,191,0 0,64,128 128,64,128"""
    assert PALETTE[:22].tolist() == [list(map(int, color.split(","))) for color in published.split()]
    assert len(np.unique(PALETTE, axis=0)) == 256


def test_written_mask_reads_back_with_palette(tmp_path: Path) -> None:
    labels = torch.arange(256, dtype=torch.uint8).reshape(8, 32)
    write_mask(tmp_path / "new" / "mask.png", labels)
    assert torch.equal(read_mask(tmp_path / "new" / "mask.png", (8, 32)), labels)
    image = Image.open(tmp_path / "new" / "mask.png")
    assert image.mode == "P"
    assert image.getpalette() == PALETTE.flatten().tolist()


def test_writing_replaces_whole_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mask.png"
    old, new = torch.ones(4, 4, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.uint8)
    write_mask(path, old)

    def fail(self: Image.Image, target: Path, **options: object) -> None:
        Path(target).write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="No space left"):
        patch.setattr(Image.Image, "save", fail)
        write_mask(path, new)
    assert torch.equal(read_mask(path), old)
    assert list(tmp_path.iterdir()) == [path]
    write_mask(path, new)
    assert torch.equal(read_mask(path), new)


def test_unwritable_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file/mask\.png.*Choose a folder"):
        write_mask(tmp_path / "file" / "mask.png", torch.zeros(4, 4, dtype=torch.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_frames_are_rgb_whatever_their_mode(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (7, 5), (204, 204, 204)).convert(mode, dither=Image.Dither.NONE).save(tmp_path / "frame.png")
    frame = read_frame(tmp_path / "frame.png")
    assert frame.shape == (3, 5, 7)
    assert frame.dtype == torch.uint8
    assert (frame == 204).all()
    assert frame_size(tmp_path / "frame.png") == (5, 7)


def test_frame_channels_and_axes(tmp_path: Path) -> None:
    values = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    Image.fromarray(values).save(tmp_path / "frame.png")
    assert read_frame(tmp_path / "frame.png").permute(1, 2, 0).tolist() == values.tolist()


def test_missing_frame(tmp_path: Path) -> None:
    for read in (read_frame, frame_size):
        with pytest.raises(DatasetError, match=r"No frame at .*00003\.jpg"):
            read(tmp_path / "00003.jpg")


def test_truncated_jpeg(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    assert read_frame(tmp_path / "whole.jpg").shape == (3, 64, 64)
    with pytest.raises(DatasetError, match=r"cut\.jpg' cannot be decoded .*truncated.*Copy or export it again"):
        read_frame(tmp_path / "cut.jpg")


def test_frame_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "frame.png").write_text("not a picture")
    for read in (read_frame, frame_size):
        with pytest.raises(DatasetError, match=r"frame\.png"):
            read(tmp_path / "frame.png")


def test_grey_frame_of_16_bits(tmp_path: Path) -> None:
    Image.fromarray(np.full((5, 7), 2570, np.uint16)).save(tmp_path / "frame.png")
    with pytest.raises(DatasetError, match=r"frame\.png' is a I;16 picture.*8 bits per channel"):
        read_frame(tmp_path / "frame.png")
    assert frame_size(tmp_path / "frame.png") == (5, 7)


def test_mask_compressed_as_jpeg(tmp_path: Path) -> None:
    Image.new("L", (7, 5), 3).save(tmp_path / "mask.png", format="JPEG")
    with pytest.raises(DatasetError, match=r"mask\.png' is a JPEG.*as PNG"):
        read_mask(tmp_path / "mask.png")


def test_mask_of_another_size(tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.png", torch.zeros(4, 6, dtype=torch.uint8))
    with pytest.raises(DatasetError, match=r"mask\.png' is 4x6 .* its frame 8x6.*without interpolation"):
        read_mask(tmp_path / "mask.png", (8, 6))


COLORS = [(0, 0, 0), (255, 0, 0), (128, 0, 0), (0, 128, 0), (0, 0, 255)]


def painted(tmp_path: Path, colors: list[tuple[int, ...]] = COLORS) -> Path:
    """A mask with a square of each colour."""
    values = np.zeros((8, 8 * len(colors), len(colors[0])), np.uint8)
    for place, color in enumerate(colors):
        values[1:7, 8 * place + 1 : 8 * place + 7] = color
    Image.fromarray(values).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_colours_of_the_palette_and_others(tmp_path: Path) -> None:
    mask = read_mask(painted(tmp_path))
    assert set(mask.unique().tolist()) == {0, 1, 2, COLOR + 0xFF0000, COLOR + 0x0000FF}
    write_mask(tmp_path / "again.png", mask)
    assert torch.equal(read_mask(tmp_path / "again.png"), mask)
    assert np.array_equal(np.array(Image.open(tmp_path / "again.png")), np.array(Image.open(tmp_path / "mask.png")))


def test_the_palette_of_pascal_voc_reads_as_that_of_davis(tmp_path: Path) -> None:
    assert read_mask(painted(tmp_path, [(191, 0, 0), (192, 0, 0)])).unique().tolist() == [0, 9]


def test_a_grey_picture_saved_in_colour(tmp_path: Path) -> None:
    assert read_mask(painted(tmp_path, [(1, 1, 1), (7, 7, 7)])).unique().tolist() == [0, 1, 7]
    assert read_mask(painted(tmp_path, [(255, 255, 255)])).unique().tolist() == [0, 1]


def test_transparent_pixels_are_background(tmp_path: Path) -> None:
    path = painted(tmp_path, [(255, 0, 0, 255), (9, 9, 9, 0)])
    assert read_mask(path).unique().tolist() == [0, COLOR + 0xFF0000]
    with pytest.raises(DatasetError, match="36 pixels are half transparent"):
        read_mask(painted(tmp_path, [(255, 0, 0, 128)]))


def test_a_picture_without_ids(tmp_path: Path) -> None:
    Image.new("CMYK", (6, 4)).save(tmp_path / "mask.tif")
    with pytest.raises(DatasetError, match="is a CMYK picture"):
        read_mask(tmp_path / "mask.tif")


def test_anti_aliased_colours(tmp_path: Path) -> None:
    image = Image.new("RGB", (120, 120))
    ImageDraw.Draw(image).ellipse((20, 30, 90, 100), fill=(255, 0, 0))
    image.resize((60, 60), Image.Resampling.LANCZOS).save(tmp_path / "mask.png")
    with pytest.raises(DatasetError, match=r"soft edges: \d+ pixels with \d+ stray values such as \(\d+, 0, 0\)"):
        read_mask(tmp_path / "mask.png")


def test_a_mask_of_another_size_is_resized_if_asked(tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.png", torch.tensor([[0, 3], [5, 0]], dtype=torch.uint8))
    wanted = torch.tensor([[0, 0, 3, 3], [5, 5, 0, 0]], dtype=torch.uint8)
    assert torch.equal(read_mask(tmp_path / "mask.png", (2, 4), resize=True), wanted)


@pytest.mark.parametrize(("top", "kind"), [(9, "palette"), (700, "16-bit"), (COLOR + 0x123456, "colour")])
def test_ids_of_any_size_come_back(tmp_path: Path, top: int, kind: str) -> None:
    labels = torch.tensor([[0, 3, 255], [top, top, 0]], dtype=torch.int32)
    write_mask(tmp_path / "mask.png", labels)
    assert torch.equal(read_mask(tmp_path / "mask.png").int(), labels)
    assert mask_kind(Image.open(tmp_path / "mask.png")) == kind


def test_ids_that_no_picture_holds(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be written beside"):
        write_mask(tmp_path / "mask.png", torch.tensor([[300, COLOR + 1]]))


def test_anti_aliased_mask_tells_its_stray_values(tmp_path: Path) -> None:
    soft = disks(scale=4).resize((60, 60), Image.Resampling.LANCZOS)
    soft.save(tmp_path / "mask.png")
    stray = set(np.unique(np.array(soft)).tolist()) - {0, 255}
    with pytest.raises(DatasetError, match=r"soft edges: \d+ pixels with (\d+) stray values.*anti-aliasing") as error:
        read_mask(tmp_path / "mask.png")
    told = int(str(error.value).split(" stray")[0].split()[-1])
    assert 0.8 * len(stray) <= told <= len(stray) + 2


def test_mask_that_went_through_jpeg(tmp_path: Path) -> None:
    disks(values=(255, 255)).save(tmp_path / "mask.jpg", quality=80)
    Image.open(tmp_path / "mask.jpg").save(tmp_path / "mask.png")
    with pytest.raises(DatasetError, match="soft edges"):
        read_mask(tmp_path / "mask.png")


def test_resized_ids_with_soft_edges(tmp_path: Path) -> None:
    disks(4, (3, 9)).resize((120, 60), Image.Resampling.BILINEAR).save(tmp_path / "mask.png")
    with pytest.raises(DatasetError, match="soft edges"):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize(("values", "expected"), [((255,), {0, 1}), ((1, 2, 254), {0, 1, 2, 254})])
def test_clean_greyscale(tmp_path: Path, values: tuple[int, ...], expected: set[int]) -> None:
    disks(values=values).save(tmp_path / "mask.png")
    assert set(read_mask(tmp_path / "mask.png").unique().tolist()) == expected


def test_greyscale_ids_keep_void_beside_objects(tmp_path: Path) -> None:
    disks(values=(1, 255)).save(tmp_path / "mask.png")
    assert set(read_mask(tmp_path / "mask.png").unique().tolist()) == {0, 1, 255}


def test_palette_255_is_void(tmp_path: Path) -> None:
    labels = torch.zeros(4, 4, dtype=torch.uint8)
    labels[1] = 255
    write_mask(tmp_path / "mask.png", labels)
    assert torch.equal(read_mask(tmp_path / "mask.png"), labels)


def test_black_and_white_mask(tmp_path: Path) -> None:
    disks().convert("1").save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").unique().tolist() == [0, 1]


def test_sixteen_bit_ids(tmp_path: Path) -> None:
    values = np.zeros((8, 8), np.uint16)
    values[2:5, 2:5] = 7
    Image.fromarray(values).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").unique().tolist() == [0, 7]
    values[6:, 6:] = 300
    Image.fromarray(values).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").unique().tolist() == [0, 7, 300]
