"""AOC-Net's proxies and calibration against numbers of its released code, repaired."""

import pytest
import torch
from golden_matching import FILTERED, Golden, Recorded, cases, channels_first, one_hot

from vosfw.interfaces import Previous
from vosfw.model.matcher import released
from vosfw.ops.proxies import ObjectSums


@pytest.fixture(scope="module")
def fixtures(golden):
    return Golden(golden, "aoc")


@pytest.fixture(scope="module")
def network(fixtures, tmp_path_factory):
    return fixtures.network(tmp_path_factory.mktemp("converted"))


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("own", [False, True], ids=["recorded clusters", "own clusters"])
def test_clusters(own, fixtures, network, monkeypatch):
    matcher = network.matcher.matchers["cluster"]
    for case in cases(fixtures, "matching/cluster.*"):
        inputs, objects = fixtures.cases[case]["inputs"], fixtures.cases[case]["params"]["objects"]
        recorded, found = Recorded(fixtures.modules, case), []
        if not own:
            monkeypatch.setattr(released, "kmeans", recorded)
        else:
            plain = released.kmeans

            def watched(*args, plain=plain, found=found, **options):
                found.append(plain(*args, **options))
                return found[-1]

            monkeypatch.setattr(released, "kmeans", watched)
        references = []
        for name in inputs:
            if name.startswith("ref"):
                label = fixtures.part(case, name.replace("ref", "label"))
                if "overwrite" in fixtures.cases[case]["params"]:
                    label[0, :5] = 1
                masks = one_hot(torch.where(label == FILTERED, -1, label), objects)
                references.append(matcher.index(channels_first(fixtures.part(case, name)), masks))
        query = channels_first(fixtures.part(case, "query"))
        previous = Previous(query, query.new_zeros(1, objects, *query.shape[2:]))
        maps = matcher(query, references, previous, torch.ones(1, objects, dtype=torch.bool))
        monkeypatch.undo()
        fixtures.check(case, maps[0].permute(2, 3, 0, 1))
        for i, clustering in enumerate(found):
            assert torch.equal(clustering.cluster[0], recorded.labels[i])
            if (key := f"{case}/kmeans{i}_centroids") in fixtures.modules.files:
                wanted = torch.from_numpy(fixtures.modules[key])
                torch.testing.assert_close(clustering.centers[0, 0, :, ::5], wanted, atol=5e-5, rtol=0)
        if own:
            assert len(found) == len(recorded.labels)
        else:
            assert not recorded.labels


def test_object_proxies(fixtures, network):
    matcher = network.matcher.matchers["object"]
    case = "matching/proxy_global"
    query, proxy = channels_first(fixtures.part(case, "query")), fixtures.part(case, "proxy")[None]
    objects = proxy.shape[1]
    # A sum over very many cells, so that the epsilon in the mean plays no part.
    area = torch.full((1, objects), 1e6)
    sums = ObjectSums(proxy * 1e6, area, proxy.sum(1), area.sum(1))
    masks = query.new_zeros(1, objects, *query.shape[2:])
    valid = torch.ones(1, objects, dtype=torch.bool)
    fixtures.check(case, matcher(query, [sums], Previous(query, masks, sums), valid)[0, :, 0].permute(1, 2, 0))
    case = "matching/proxy_local"
    query, proxy = channels_first(fixtures.part(case, "query")), fixtures.part(case, "proxy")[None]
    masks = one_hot(fixtures.part(case, "label"), objects)
    sums = ObjectSums(proxy * 1e6, area, proxy.sum(1), area.sum(1))
    maps = matcher(query, [sums], Previous(query, masks, sums), valid)
    fixtures.check(case, maps[0, :, 1:].permute(2, 3, 0, 1))


def test_calibration(fixtures, network):
    gates = network.ensembler.gates
    x = fixtures.part("doc/CL1", "x")[None]
    fixtures.check("doc/CL1", gates[0][1].own(x)[0])
    for case, gate in (("doc/CLB2", gates[0][1]), ("doc/CLB4", gates[1][1]), ("doc/CLB4_single_object", gates[1][1])):
        x, head = (fixtures.part(case, name)[None] for name in ("x", "head"))
        gains = gate(x, head, torch.ones(x.shape[:2], dtype=torch.bool))
        fixtures.check(case, (x * gains[..., None, None])[0])


def test_confident_cells(fixtures, network):
    """The released code keeps one cell fewer than the share that is meant."""
    layer = network.ensembler.gates[0][1].own
    score = layer._score(fixtures.part("doc/CL1", "x")[None].flatten(3))
    kept = int(layer.beta * score.shape[2])
    assert kept == fixtures.cases["doc/CL1_gate"]["params"]["k"]
    above = (score > score.topk(kept, 2).values[..., -1:]).sum(2)[0]
    assert above.tolist() == fixtures.modules["doc/CL1_gate"].tolist()
