"""AOC-Net's proxies as the released code has them, for comparison: slow, and with its mistakes as options."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.interfaces import Previous
from vosfw.model.matcher.distance import DistanceMatcher, WindowMatcher
from vosfw.ops.kmeans import kmeans
from vosfw.ops.matching import owner_of_cells
from vosfw.ops.proxies import EPSILON, ObjectSums, Proxies, cluster_means, descriptor, object_sums, proxy_distance


class ReleasedObjectMatcher(WindowMatcher[ObjectSums]):
    """Distance to an object's mean over all references together, and to its mean in the frame before by window.

    Its mean is painted on the frame before and stands there for the embedding. An object without a cell has the zero
    vector for a mean, and is not far. Maps per object: of the references, local by window.

    Args:
        windows: See ``PixelMatcher``.
    """

    def __init__(self, windows: Sequence[int] = (2, 4, 6, 8, 10, 12)) -> None:
        super().__init__(windows)
        self.map_names = ("references", *(f"previous within {r}" for r in self.windows))
        self.out_channels = len(self.map_names)

    def index(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> ObjectSums:
        """See ``Matcher.index``: sums of each object's cells."""
        return object_sums(embedding, masks)

    def index_previous(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> ObjectSums:
        """See ``Matcher.index_previous``: as of a reference."""
        return self.index(embedding, masks)

    def forward(
        self,
        query: Float[Tensor, "B C h w"],
        references: Sequence[ObjectSums],
        previous: Previous,
        valid: Bool[Tensor, "B O"],
    ) -> Float[Tensor, "B O M h w"]:
        """See ``Matcher.forward``."""
        channels, objects = query.shape[1], previous.masks.shape[1]
        with torch.autocast(query.device.type, enabled=False):
            query = query.float()
            inside, area = query.new_zeros(len(query), objects, channels), query.new_zeros(len(query), objects)
            for sums in references:
                missing = objects - sums.area.shape[1]
                inside, area = inside + F.pad(sums.inside, (0, 0, 0, missing)), area + F.pad(sums.area, (0, missing))
            means = (inside / (area + EPSILON)[..., None])[:, :, None]
            whole = proxy_distance(query, [Proxies(means, torch.ones_like(means[..., 0], dtype=torch.bool))], objects)
            vectors = descriptor(previous.index)[..., :channels]
            painted = torch.einsum("bohw,boc->bchw", previous.masks, vectors)
            local = self._local(query, previous._replace(embedding=painted))
            return torch.cat([self._value(whole[:, :, None]), local], 2)


class Cells(NamedTuple):
    """A reference frame as it is."""

    points: Float[Tensor, "B n C"]
    owner: Integer[Tensor, "B n"]
    """Object of each cell; a number above all objects for none."""


class ReleasedClusterMatcher(DistanceMatcher[Cells]):
    """Distance to clusters of the cells of all references together, found anew for every frame.

    Maps per object: by the centres that K-Means returns (without gradient), and by means taken again of the clusters'
    cells. Clusters start from cells at even distances, where the released code takes random ones.

    Args:
        count: Most clusters per object.
        sticky_count: An object with fewer cells than ``count`` lowers it for all objects behind it, and one without a
            cell makes them absent; otherwise each object has its own number of clusters.
        wrong_means: Take the means of the cells at the clusters' places in the list of all cells, where the list of
            the object's cells is meant.

    Raises:
        ConfigError: If ``count`` is below 1.
    """

    def __init__(self, count: int = 16, *, sticky_count: bool = True, wrong_means: bool = True) -> None:
        super().__init__()
        if count < 1:
            raise ConfigError(f"matcher.count is {count}; wanted a number of clusters per object from 1")
        self.count = count
        self.sticky_count = sticky_count
        self.wrong_means = wrong_means
        self.map_names = ("references", "references, means")
        self.out_channels = len(self.map_names)

    def index(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> Cells:
        """See ``Matcher.index``: the cells."""
        owner = owner_of_cells(masks)
        # Objects may join later: what belongs to none must stay above them.
        none = torch.iinfo(torch.int16).max
        return Cells(embedding.float().flatten(2).transpose(1, 2), torch.where(owner < masks.shape[1], owner, none))

    def forward(
        self,
        query: Float[Tensor, "B C h w"],
        references: Sequence[Cells],
        previous: Previous,
        valid: Bool[Tensor, "B O"],
    ) -> Float[Tensor, "B O M h w"]:
        """See ``Matcher.forward``."""
        objects = previous.masks.shape[1]
        maps = []
        with torch.autocast(query.device.type, enabled=False):
            for b, frame in enumerate(query.float()):
                # Memory may be the frame before alone.
                nothing = frame.new_zeros(0, frame.shape[0])
                points = torch.cat([nothing, *(cells.points[b] for cells in references)])
                owner = torch.cat([nothing[:, 0].long(), *(cells.owner[b] for cells in references)])
                used = owner < objects
                proxies = self._cluster(points[used], owner[used], objects)
                maps.append(torch.cat([proxy_distance(frame[None], [kind], objects) for kind in proxies]))
        return self._value(torch.stack(maps).transpose(1, 2))

    def _cluster(
        self, points: Float[Tensor, "n C"], owner: Integer[Tensor, "n"], objects: int
    ) -> tuple[Proxies, Proxies]:
        """Centres and means, of one video."""
        empty = points.new_zeros(objects, self.count, points.shape[1])
        centers, means, there = empty.clone(), empty.clone(), empty[..., 0].bool()
        filled = there.clone()
        count = self.count
        for k in range(objects):
            own = points[owner == k]
            wanted = min(count if self.sticky_count else self.count, len(own))
            count = wanted
            if not wanted:
                continue
            one = torch.zeros(1, len(own), dtype=torch.long, device=own.device)
            # In float64, as SciPy does: which centre is nearest hangs on the last digit.
            found = kmeans(own[None].double(), one, 1, wanted, start="even", reseed=False, backend="torch")
            rows = points[: len(own)] if self.wrong_means else own
            twin, sizes = cluster_means(rows[None], one, found.cluster, 1, wanted)
            centers[k, :wanted], means[k, :wanted] = found.centers[0, 0], twin[0, 0]
            there[k, :wanted], filled[k, :wanted] = True, sizes[0, 0] > 0
        return Proxies(centers[None], there[None]), Proxies(means[None], filled[None])
