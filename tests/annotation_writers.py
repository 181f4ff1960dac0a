"""Masks as annotation files of each format, written by the rules of the tools and not by what vosfw reads with."""

import base64
import io
import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
from layouts import picture, save_frame
from PIL import Image

SIZE = (48, 64)
NAMES = {1: "cat", 2: "dog", 3: "Bär"}


def blobs(t, size=SIZE):
    """Two ellipses and a box that joins in frame 1, moving; they do not overlap."""
    y, x = np.mgrid[: size[0], : size[1]]
    ids = np.zeros(size, np.uint8)
    ids[((y - 14 - t) / 10) ** 2 + ((x - 16 - t) / 13) ** 2 < 1] = 1
    ids[((y - 34) / 11) ** 2 + ((x - 44 + t) / 14) ** 2 < 1] = 2
    if t:
        ids[2:12, 40 + t : 58 + t] = 3
    return ids


def write_frames(folder, count=3, size=SIZE):
    for t in range(count):
        save_frame(folder / f"{t:05d}.jpg", picture(t, size))


def objects(ids):
    return [(int(i), ids == i) for i in np.unique(ids) if i]


def corners(mask):
    """Outlines along the edges of pixels, by OpenCV on an enlargement."""
    large = np.kron(mask.astype(np.uint8), np.ones((8, 8), np.uint8))
    found, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((one[:, 0].astype(float) + 0.5) / 8).round(3).tolist() for one in found]


def runs(flat):
    """Lengths, the background first."""
    counts, value = [], False
    for pixel in flat.tolist():
        if pixel != value or not counts:
            if not counts and pixel:
                counts.append(0)
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def compressed(counts):
    """As the C code of COCO's API encodes numbers, from its description."""
    text = ""
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text += chr((bits | 32 * more) + 48)
    return text


def segmentation(mask, kind):
    if kind == "polygons":
        return [[value for point in part for value in point] for part in corners(mask)]
    counts = runs(mask.T.ravel())
    return {"size": list(mask.shape), "counts": compressed(counts) if kind == "compressed" else counts}


def coco(root: Path, masks, kind="polygons", track=True, folder="walk"):
    write_frames(root / folder, len(masks))
    images, annotations = [], []
    for t, ids in enumerate(masks):
        images.append({"id": t + 7, "file_name": f"{folder}/{t:05d}.jpg", "height": SIZE[0], "width": SIZE[1]})
        for id_, mask in objects(ids):
            one = {"id": len(annotations), "image_id": t + 7, "category_id": id_, "area": int(mask.sum())}
            one |= {"segmentation": segmentation(mask, kind)} | ({"attributes": {"track_id": id_}} if track else {})
            annotations.append(one)
    categories = [{"id": id_, "name": name} for id_, name in NAMES.items()]
    path = root / "coco.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def youtube_vis(root: Path, masks, kind="polygons"):
    write_frames(root / "walk", len(masks))
    ids = sorted({id_ for one in masks for id_, _ in objects(one)})
    tracks = [[segmentation(mask == id_, kind) if (mask == id_).any() else None for mask in masks] for id_ in ids]
    content = {
        "videos": [
            {"id": 5, "width": 64, "height": 48, "file_names": [f"walk/{t:05d}.jpg" for t in range(len(masks))]}
        ],
        "categories": [{"id": id_, "name": name} for id_, name in NAMES.items()],
        "annotations": [
            {"id": id_, "video_id": 5, "category_id": id_, "segmentations": track}
            for id_, track in zip(ids, tracks, strict=True)
        ],
    }
    (root / "vis.json").write_text(json.dumps(content))
    return root / "vis.json"


def crop(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], columns[0], mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def labelme(root: Path, masks, kind="polygons"):
    folder = root / "walk"
    write_frames(folder, len(masks))
    for t, ids in enumerate(masks):
        shapes = []
        for id_, mask in objects(ids):
            if kind == "polygons":
                shapes += [{"points": part, "shape_type": "polygon"} for part in corners(mask)]
            else:
                top, left, pixels = crop(mask)
                stream = io.BytesIO()
                Image.fromarray(pixels).save(stream, "PNG")
                ends = [[float(left), float(top)], [float(left + len(pixels.T) - 1), float(top + len(pixels) - 1)]]
                text = base64.b64encode(stream.getvalue()).decode()
                shapes.append({"points": ends, "shape_type": "mask", "mask": text})
            for shape in shapes:
                shape.setdefault("label", NAMES[id_])
                shape.setdefault("group_id", id_)
        content = {"version": "5.5.0", "shapes": shapes, "imagePath": f"{t:05d}.jpg", "imageData": None}
        (folder / f"{t:05d}.json").write_text(json.dumps(content | {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}))
    return folder


def element(mask, kind, more):
    if kind == "polygons":
        return "".join(
            f"<polygon {more} points={quoteattr(';'.join(f'{x},{y}' for x, y in part))}/>" for part in corners(mask)
        )
    top, left, pixels = crop(mask)
    counts = ", ".join(map(str, runs(pixels.ravel())))
    place = f'left="{left}" top="{top}" width="{len(pixels.T)}" height="{len(pixels)}"'
    return f'<mask {more} rle="{counts}" {place}/>'


def cvat_images(root: Path, masks, kind="polygons"):
    write_frames(root / "images", len(masks))
    text = "<annotations><version>1.1</version>"
    for t, ids in enumerate(masks):
        text += f'<image id="{t}" name="{t:05d}.jpg" width="{SIZE[1]}" height="{SIZE[0]}">'
        for id_, mask in objects(ids):
            text += element(mask, kind, f'label="{NAMES[id_]}" group_id="{id_}" z_order="0"')
        text += "</image>"
    (root / "annotations.xml").write_text(text + "</annotations>", encoding="utf-8")
    return root / "annotations.xml"


def cvat_video(root: Path, masks, kind="polygons"):
    write_frames(root / "images", len(masks))
    text = f"<annotations><meta><task><original_size><width>{SIZE[1]}</width><height>{SIZE[0]}</height>"
    text += "</original_size></task></meta>"
    for id_ in sorted({id_ for ids in masks for id_, _ in objects(ids)}):
        text += f'<track id="{id_}" label="{NAMES[id_]}">'
        last = ""
        for t, ids in enumerate(masks):
            if (ids == id_).any():
                last = element(ids == id_, kind, f'frame="{t}" outside="0" keyframe="1"')
                text += last
            elif last:
                text += f'<polygon frame="{t}" outside="1" keyframe="1" points="1,1;2,2;1,2"/>'
        text += "</track>"
    (root / "video.xml").write_text(text + "</annotations>", encoding="utf-8")
    return root / "video.xml"


def brush(mask):
    """Label Studio's run lengths of a mask, its lengths 3, 4, 8 and 16 bits wide; short blocks are not repeated."""
    values = np.repeat(mask.ravel() * 255, 4).tolist()
    bits = f"{len(values):032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    for start in range(0, len(values), 4):
        if start and values[start] == values[start - 4]:
            continue
        stop = next((i for i in range(start, len(values)) if values[i] != values[start]), len(values))
        if stop - start == 4:
            bits += "0" + "00" + f"{3:03b}" + f"{values[start]:08b}" * 4
        else:
            which, width = (2, 8) if stop - start <= 256 else (3, 16)
            bits += f"1{which:02b}{stop - start - 1:0{width}b}{values[start]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def label_studio(root: Path, masks, kind="polygons"):
    write_frames(root, len(masks))
    tasks = []
    for t, ids in enumerate(masks):
        result = []
        for id_, mask in objects(ids):
            more = {
                "id": f"r{id_}",
                "original_width": 64,
                "original_height": 48,
                "to_name": "image",
                "image_rotation": 0,
            }
            more["meta"] = {"text": [f"{id_}"]}
            if kind == "polygons":
                for part in corners(mask):
                    points = [[x / 64 * 100, y / 48 * 100] for x, y in part]
                    value = {"points": points, "polygonlabels": [NAMES[id_]], "closed": True}
                    result.append({**more, "type": "polygonlabels", "value": value})
            else:
                value = {"format": "rle", "rle": brush(mask), "brushlabels": [NAMES[id_]]}
                result.append({**more, "type": "brushlabels", "value": value})
        data = {"image": f"/data/upload/3/0a1b2c3d-{t:05d}.jpg"}
        tasks.append({"id": t, "data": data, "annotations": [{"id": t, "result": result, "was_cancelled": False}]})
    (root / "tasks.json").write_text(json.dumps(tasks))
    return root / "tasks.json"


FORMATS = {
    ("coco", "polygons"): coco,
    ("coco", "runs"): coco,
    ("coco", "compressed"): coco,
    ("youtube_vis", "polygons"): youtube_vis,
    ("youtube_vis", "compressed"): youtube_vis,
    ("labelme", "polygons"): labelme,
    ("labelme", "pictures"): labelme,
    ("cvat_images", "polygons"): cvat_images,
    ("cvat_images", "runs"): cvat_images,
    ("cvat_video", "polygons"): cvat_video,
    ("cvat_video", "runs"): cvat_video,
    ("label_studio", "polygons"): label_studio,
    ("label_studio", "runs"): label_studio,
}
