import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2

from vosfw.errors import ConfigError, UnsupportedError
from vosfw.ops import kmeans as module
from vosfw.ops import object_rows
from vosfw.ops.kmeans import kmeans
from vosfw.ops.kmeans_start import starting_rows
from vosfw.ops.object_rows import lay_out
from vosfw.ops.proxies import cluster_means

STARTS = ["plusplus", "random", "even"]
EXAMPLES = settings(max_examples=30, deadline=None)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def owners(objects, *shape, seed=0):
    """From -1, which is none, to ``objects``, which is none either."""
    return torch.randint(-1, objects + 1, shape, generator=torch.Generator().manual_seed(seed))


def blobs(objects, clusters, each, width=8, spread=0.1, seed=0):
    """Points around ``clusters`` places of each object, shuffled."""
    places = 3 * random(objects, clusters, 1, width, seed=seed)
    points = (places + spread * random(objects, clusters, each, width, seed=seed + 1)).flatten(0, 2)
    owner = torch.arange(objects).repeat_interleave(clusters * each)
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))
    return points[order][None], owner[order][None]


def cost(points, owner, found):
    """Within-cluster sum of squares of each object in each row of the batch."""
    batch, objects = found.centers.shape[:2]
    total = torch.zeros(batch, objects, dtype=torch.float64)
    for b in range(batch):
        for o in range(objects):
            own = owner[b] == o
            total[b, o] = (points[b, own].double() - found.centers[b, o, found.cluster[b, own]]).square().sum()
    return total


def plain_even(points, clusters, iterations):
    """Lloyd's iteration over the points of one object, from evenly spaced ones; empty clusters keep their centres."""
    points = points.double()
    centers = points[[int((j + 0.5) * len(points) / clusters) for j in range(clusters)]]
    for _ in range(iterations):
        cluster = torch.cdist(points, centers).argmin(1)
        centers = torch.stack(
            [points[cluster == k].mean(0) if (cluster == k).any() else centers[k] for k in range(clusters)]
        )
    return cluster, centers


@pytest.fixture
def small(monkeypatch):
    """Groups and blocks whose borders cut through objects, and a GPU's way to add."""

    def change(group, block, in_order):
        monkeypatch.setattr(module, "GROUP", group)
        monkeypatch.setattr(module, "BLOCK", {"cpu": block})
        monkeypatch.setattr(object_rows, "SUMMED_IN_ORDER", ("cpu",) if in_order else ())

    return change


@st.composite
def problems(draw):
    objects, seed = draw(st.integers(1, 5)), draw(st.integers(0, 99))
    batch, total, width = draw(st.integers(1, 3)), draw(st.integers(1, 60)), draw(st.integers(1, 9))
    points = random(batch, total, width, seed=seed)
    if draw(st.booleans()):
        points = points.round()
    return points, owners(objects, batch, total, seed=seed), objects, draw(st.integers(1, 9))


@EXAMPLES
@given(problems(), st.sampled_from(STARTS), st.integers(1, 8), st.booleans(), st.sampled_from(["torch", "faiss"]))
def test_what_holds_for_any_result(problem, start, iterations, reseed, backend):
    points, owner, objects, clusters = problem
    reseed |= backend == "faiss"
    found = kmeans(
        points, owner, objects, clusters, iterations=iterations, start=start, reseed=reseed, backend=backend, seed=3
    )
    owned = (owner >= 0) & (owner < objects)
    assert torch.equal(found.cluster == -1, ~owned)
    assert found.cluster.max() < clusters
    assert found.centers.isfinite().all() and not found.centers.requires_grad
    sizes = torch.stack([(owner == o).sum(1) for o in range(objects)], 1)
    assert torch.equal(found.count.sum(2), sizes)
    means, count = cluster_means(points, owner, found.cluster, objects, clusters)
    assert torch.equal(count, found.count)
    full = count > 0
    torch.testing.assert_close(found.centers[full], means[full])
    assert not means[~full].any()
    assert not found.centers[sizes == 0].any()
    assert (found.reseeded >= 0).all() and (reseed or not found.reseeded.any())


@EXAMPLES
@given(problems(), st.sampled_from(STARTS), st.booleans())
def test_more_iterations_never_cost_more_and_the_last_is_stable(problem, start, reseed):
    points, owner, objects, clusters = problem
    last = None
    for iterations in (1, 2, 3, 5, 60):
        found = kmeans(points, owner, objects, clusters, iterations=iterations, start=start, reseed=reseed)
        now = cost(points, owner, found)
        assert last is None or (now <= last + 1e-4).all()
        last = now
    for b, o in ((b, o) for b in range(len(points)) for o in range(objects)):
        own = owner[b] == o
        distance = torch.cdist(points[b, own], found.centers[b, o]).square()
        chosen = distance.gather(1, found.cluster[b, own][:, None])[:, 0]
        # Each point is with its nearest centre, and an empty cluster means that all are at theirs or it was kept.
        torch.testing.assert_close(chosen, distance.amin(1), atol=1e-4, rtol=1e-4)
        if reseed and own.any() and (found.count[b, o] == 0).any():
            assert chosen.max() <= 1e-3


@EXAMPLES
@given(problems(), st.sampled_from([(1, 1), (3, 20), (16, 10_000)]), st.booleans(), st.integers(1, 6))
def test_even_start_equals_a_plain_loop(problem, sizes, in_order, iterations):
    points, owner, objects, clusters = problem
    points = points + 0.1 * random(*points.shape, seed=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GROUP", sizes[0])
        patch.setattr(module, "BLOCK", {"cpu": sizes[1]})
        patch.setattr(object_rows, "SUMMED_IN_ORDER", ("cpu",) if in_order else ())
        found = kmeans(points, owner, objects, clusters, iterations=iterations, start="even", reseed=False)
    for b, o in ((b, o) for b in range(len(points)) for o in range(objects)):
        own = owner[b] == o
        if own.any():
            cluster, centers = plain_even(points[b, own], clusters, iterations)
            assert torch.equal(found.cluster[b, own], cluster)
            torch.testing.assert_close(found.centers[b, o].double(), centers, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("start", STARTS)
def test_neither_batch_nor_order_of_groups_matters(start, small):
    points, owner = random(3, 500, 16), owners(4, 3, 500)
    together = kmeans(points, owner, 4, 7, start=start, seed=5)
    for b in range(3):
        alone = kmeans(points[b : b + 1], owner[b : b + 1], 4, 7, start=start, seed=5)
        assert all(torch.equal(x[b], y[0]) for x, y in zip(together, alone, strict=True))
    for group, block, in_order in ((7, 100, True), (64, 7000, False)):
        small(group, block, in_order)
        other = kmeans(points, owner, 4, 7, start=start, seed=5)
        assert torch.equal(other.cluster, together.cluster)


def test_order_of_points_does_not_change_an_even_optimum():
    """From given centres on the order of points is only a name: blobs are found whatever it is."""
    points, owner = blobs(2, 4, 30)
    order = torch.randperm(points.shape[1], generator=torch.Generator().manual_seed(1))
    first = kmeans(points, owner, 2, 4)
    second = kmeans(points[:, order], owner[:, order], 2, 4)
    torch.testing.assert_close(cost(points, owner, first), cost(points[:, order], owner[:, order], second))
    assert torch.equal(first.count, torch.full((1, 2, 4), 30))
    assert torch.equal(second.count, first.count)


@pytest.mark.parametrize("backend", ["torch", "faiss"])
def test_as_good_as_scipy_with_restarts(backend):
    for points, owner in (blobs(3, 8, 40, spread=0.8), (random(1, 900, 20), torch.arange(900)[None] % 3)):
        costs = [cost(points, owner, kmeans(points, owner, 3, 8, backend=backend, seed=s))[0] for s in range(60)]
        for o, ours in enumerate(torch.stack(costs, 1)):
            own = points[0, owner[0] == o].double()
            runs = [kmeans2(own.numpy(), 8, iter=20, minit="++", rng=s) for s in range(60)]
            theirs = torch.stack([(own - torch.from_numpy(c)[k]).square().sum() for c, k in runs])
            assert ours.min() <= 1.01 * theirs.min()
            assert ours.mean() <= 1.15 * theirs.mean()


def test_plusplus_draws_in_proportion_to_squared_distances():
    points, none, draws = torch.tensor([0.0, 1, 2, 3]), torch.zeros(1, 4, dtype=torch.long), 1500
    layout, drawn = lay_out(points[None, :, None], none, 1, group=4), torch.zeros(4, 4)
    for seed in range(draws):
        first, second = starting_rows(layout, "plusplus", 2, seed)[0, 0].tolist()
        drawn[first, second] += 1
    distance = (points[:, None] - points).square()
    torch.testing.assert_close(drawn / draws, distance / distance.sum(1, keepdim=True) / 4, atol=0.03, rtol=0)


def test_plusplus_starts_better_than_random():
    points, owner = blobs(1, 12, 20, spread=0.02)
    costs = {
        start: sum(
            float(cost(points, owner, kmeans(points, owner, 1, 12, start=start, iterations=1, seed=s)))
            for s in range(8)
        )
        for start in ("plusplus", "random")
    }
    assert costs["plusplus"] < 0.5 * costs["random"]


@pytest.mark.parametrize("backend", ["torch", "faiss"])
@pytest.mark.parametrize("start", STARTS)
def test_objects_with_few_points(start, backend):
    clusters = 6
    sizes = [0, 1, clusters - 1, clusters, 40]
    owner = torch.cat([torch.full((n,), o) for o, n in enumerate(sizes)])[None]
    points = random(1, owner.shape[1], 3)
    found = kmeans(points, owner, 5, clusters, start=start, backend=backend)
    assert (found.count[0] > 0).sum(1).tolist() == [0, 1, clusters - 1, clusters, clusters]
    # With as many clusters as points each point is its own centre.
    assert cost(points, owner, found)[0, :4].max() < 1e-9
    assert not found.reseeded[0, :4].any()


def test_no_points_at_all():
    for points, owner in (
        (random(2, 5, 3), torch.full((2, 5), -1)),
        (random(2, 0, 3), owners(2, 2, 0)),
        (random(0, 4, 3), owners(2, 0, 4)),
    ):
        for start in STARTS:
            found = kmeans(points, owner, 2, 3, start=start)
            assert found.cluster.shape == owner.shape and (found.cluster == -1).all()
            assert found.centers.shape == (len(points), 2, 3, 3) and not found.centers.any() and not found.count.any()


def test_equal_points_are_one_cluster():
    points, owner = torch.ones(1, 300, 4), torch.arange(300)[None] % 2
    for start in STARTS:
        found = kmeans(points, owner, 2, 5, start=start)
        torch.testing.assert_close(cost(points, owner, found), torch.zeros(1, 2, dtype=torch.float64))
        assert (found.count > 0).sum() == 2 and not found.reseeded.any()
        torch.testing.assert_close(found.centers, torch.ones(1, 2, 5, 4))


def test_empty_clusters_are_filled_and_counted():
    """An even start has five centres in two places, of which two get points."""
    points = torch.cat([torch.zeros(1, 90, 2), 100 + random(1, 10, 2)], 1)
    owner = torch.zeros(1, 100, dtype=torch.long)
    kept = kmeans(points, owner, 1, 5, start="even", reseed=False)
    filled = kmeans(points, owner, 1, 5, start="even")
    assert (kept.count == 0).sum() == 3 and not kept.reseeded.any()
    assert (filled.count > 0).all() and filled.reseeded.item() >= 3
    assert cost(points, owner, filled) < 0.5 * cost(points, owner, kept)
    # One step is not followed by another assignment, so nothing is filled.
    assert not kmeans(points, owner, 1, 5, start="even", iterations=1).reseeded.any()


def test_far_from_the_origin():
    """Distances are differences of large numbers there."""
    points, owner = blobs(2, 4, 30, spread=0.01)
    near, far = kmeans(points, owner, 2, 4), kmeans(points + 1000, owner, 2, 4)
    torch.testing.assert_close(far.centers, near.centers + 1000, atol=1e-2, rtol=0)
    assert torch.equal(far.cluster, near.cluster)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_autocast_and_strides(dtype):
    points, owner = blobs(2, 4, 30)
    half = points.to(dtype)
    wanted = kmeans(half.float(), owner, 2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = kmeans(half.transpose(1, 2).contiguous().transpose(1, 2), owner.int(), 2, 4)
        means, _ = cluster_means(half, owner, got.cluster, 2, 4)
    assert got.centers.dtype == means.dtype == torch.float32
    assert all(torch.equal(x, y) for x, y in zip(got, wanted, strict=True))


def test_no_gradient_through_kmeans_but_through_means():
    points = random(2, 40, 3).requires_grad_()
    owner = owners(3, 2, 40)
    found = kmeans(points, owner, 3, 4)
    assert not any(x.requires_grad for x in found)
    means, _ = cluster_means(points, owner, found.cluster, 3, 4)
    weight = random(*means.shape, seed=2)
    (gradient,) = torch.autograd.grad((means * weight).sum(), points)
    for b in range(2):
        for i in range(40):
            o, k = owner[b, i], found.cluster[b, i]
            wanted = weight[b, o, k] / found.count[b, o, k] if k >= 0 else torch.zeros(3)
            torch.testing.assert_close(gradient[b, i], wanted)
    points64 = points.detach().double().requires_grad_()
    torch.autograd.gradcheck(lambda x: cluster_means(x, owner, found.cluster, 3, 4)[0], points64, eps=1e-2, atol=1e-2)


CODE = """
import hashlib, torch
torch.rand(1000)
from vosfw.ops.kmeans import kmeans
from vosfw.ops.proxies import cluster_means
def digest(backend, start):
    points = torch.randn(2, 3000, 20, generator=torch.Generator().manual_seed(1))
    found = kmeans(points, torch.arange(3000).expand(2, -1) % 5, 4, 16, backend=backend, start=start, seed=9)
    return hashlib.sha256(b"".join(x.numpy().tobytes() for x in found)).hexdigest()
digests = [digest(b, s) for b in ("torch", "faiss") for s in ("plusplus", "random")]
print(digests)
"""


def test_two_processes_agree():
    """Whatever was drawn before."""
    here = {}
    exec(CODE, here)
    there = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(here["digests"])


def test_seeds_differ():
    points, owner = random(1, 400, 5), owners(2, 1, 400)
    assert not torch.equal(kmeans(points, owner, 2, 6, seed=0).cluster, kmeans(points, owner, 2, 6, seed=1).cluster)
    state = torch.get_rng_state()
    kmeans(points, owner, 2, 6)
    assert torch.equal(torch.get_rng_state(), state)


def test_random_start_draws_distinct_points():
    points = torch.arange(12.0)[None, :, None]
    owner = torch.zeros(1, 12, dtype=torch.long)
    for seed in range(5):
        found = kmeans(points, owner, 1, 12, start="random", iterations=1, seed=seed)
        assert (found.count == 1).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "sklearn"}, "backend is 'sklearn'; wanted auto, torch or faiss"),
        ({"start": "first"}, "start is 'first'; wanted plusplus, random or even"),
        ({"clusters": 0}, "clusters is 0; wanted a whole number from 1"),
        ({"iterations": 0}, "iterations is 0"),
        ({"objects": 0}, "objects is 0"),
        ({"backend": "faiss", "reseed": False}, "faiss always fills empty clusters"),
    ],
)
def test_options_out_of_range(options, said):
    with pytest.raises(ConfigError, match=said):
        kmeans(random(1, 5, 2), owners(2, 1, 5), **{"objects": 2, "clusters": 2, **options})


def test_faiss_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UnsupportedError, match="set backend=torch"):
        kmeans(random(1, 5, 2), owners(2, 1, 5), 2, 2, backend="faiss")
    kmeans(random(1, 5, 2), owners(2, 1, 5), 2, 2)


def test_backends_agree():
    """Both go on from the same start; without empty clusters they take the same steps."""
    points, owner = blobs(3, 5, 40, spread=1.0)
    ours, theirs = (kmeans(points, owner, 3, 5, backend=b, start="even") for b in ("torch", "faiss"))
    assert not ours.reseeded.any() and not theirs.reseeded.any()
    assert torch.equal(ours.cluster, theirs.cluster)
    torch.testing.assert_close(ours.centers, theirs.centers)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("start", STARTS)
def test_on_a_gpu(start):
    """Deterministic, without waiting for the device, and equal to the CPU where nothing is drawn."""
    points, owner = random(2, 5000, 32), owners(4, 2, 5000)
    there = points.cuda(), owner.cuda()
    first = kmeans(*there, 4, 16, start=start)
    torch.cuda.set_sync_debug_mode("error")
    try:
        second = kmeans(*there, 4, 16, start=start)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))
    if start == "even":
        here = kmeans(points, owner, 4, 16, start=start, iterations=3)
        there = kmeans(*there, 4, 16, start=start, iterations=3)
        torch.testing.assert_close(there.centers.cpu(), here.centers, atol=1e-3, rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_means_on_a_gpu():
    points = random(2, 5000, 32).cuda().requires_grad_()
    owner, cluster = owners(4, 2, 5000).cuda(), owners(16, 2, 5000, seed=1).cuda()
    results = [cluster_means(points, owner, cluster, 4, 16)[0] for _ in range(2)]
    gradients = [torch.autograd.grad(x.square().sum(), points)[0] for x in results]
    assert torch.equal(*results) and torch.equal(*gradients)
    here = points.detach().cpu().requires_grad_()
    wanted = cluster_means(here, owner.cpu(), cluster.cpu(), 4, 16)[0]
    torch.testing.assert_close(results[0].cpu(), wanted)
    torch.testing.assert_close(gradients[0].cpu(), torch.autograd.grad(wanted.square().sum(), here)[0])
