"""Generated videos of the fixtures, with the interface that the engine reads."""

import zlib

import numpy as np
import torch


class GoldenVideo:
    """A video that follows from its name; objects are hidden until they appear, and given there.

    ``scene`` is an entry of a ``forward.json``; ``appear`` holds the first frame of late objects, by number.
    """

    def __init__(self, rules, scene, appear, stored):
        self.size, objects = tuple(scene["size"]), scene["objects"]
        self.images, self.labels = rules.clip(scene["clip_name"], scene["T"], *self.size, objects)
        assert zlib.crc32(self.images.tobytes()) == scene["frames_crc32"], "other frames than the fixture's"
        starts = {slot: appear.get(str(slot + 1), 0) for slot in range(objects)}
        for slot, start in starts.items():
            self.labels[:start][self.labels[:start] == slot + 1] = 0
        if stored is not None:
            assert np.array_equal(self.labels, stored)
        self.given = {t: tuple(s for s, start in starts.items() if start == t) for t in sorted(set(starts.values()))}
        required = scene.get("req_frames")
        self.wanted = tuple(required is None or t in required for t in range(scene["T"]))

    def __len__(self):
        return len(self.images)

    def frame(self, index):
        return torch.from_numpy(self.images[index]).permute(2, 0, 1)

    def given_mask(self, index):
        labels = torch.from_numpy(self.labels[index])
        return torch.where(torch.isin(labels, torch.tensor(self.given[index]) + 1), labels, 0)
