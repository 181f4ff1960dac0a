import pytest
import torch

from vosfw.ops import affinity
from vosfw.ops.affinity import attention_read, full_read, l2_similarity, top_cells, top_k_read


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_similarity_by_hand():
    query, key = torch.tensor([[[1.0, 2.0, 0.0, 0.0]]]), torch.tensor([[[3.0, 0.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0]]])
    torch.testing.assert_close(l2_similarity(query, key), torch.tensor([[[(6 - 9) / 2, (10 - 5) / 2]]]))


def test_softmax_is_that_of_squared_distances():
    query, key = random(2, 5, 8), random(2, 9, 8, seed=1)
    distance = torch.cdist(query, key).square() / 8**0.5
    torch.testing.assert_close(l2_similarity(query, key).softmax(-1), (-distance).softmax(-1))


def dense(similarity, value, k):
    """Top-k as a dense product with zeros."""
    best, cell = similarity.topk(k, dim=-1)
    return torch.zeros_like(similarity).scatter(-1, cell, best.softmax(-1)) @ value


@pytest.mark.parametrize("k", [1, 3, 9])
def test_gathered_values_equal_the_dense_product(k):
    similarity, value = random(2, 5, 9), random(2, 9, 4, seed=1)
    torch.testing.assert_close(top_k_read(similarity, value, k), dense(similarity, value, k))


@pytest.mark.parametrize("cells", [20, 63, 64, 640, 643, 5003])
@pytest.mark.parametrize("k", [1, 7])
def test_grouped_search_finds_the_largest(cells, k):
    similarity = random(2, 11, cells)
    best, cell = top_cells(similarity, k)
    assert torch.equal(best.sort().values, similarity.topk(k).values.flip(-1))
    assert torch.equal(similarity.gather(-1, cell), best)
    assert all(len(set(row)) == k for row in cell.flatten(0, 1).tolist())


def test_grouped_search_with_equal_values():
    """Every cell alike: any will do, but each only once."""
    best, cell = top_cells(torch.zeros(1, 3, 2048), 20)
    assert torch.equal(best, torch.zeros(1, 3, 20))
    assert all(len(set(row)) == 20 for row in cell[0].tolist())


def test_grouped_search_passes_gradients():
    similarity = random(1, 4, 1000).requires_grad_()
    top_cells(similarity, 5)[0].sum().backward()
    wanted = torch.zeros_like(similarity).scatter(-1, similarity.topk(5).indices, 1.0)
    assert torch.equal(similarity.grad, wanted)


def test_fewer_cells_than_k():
    similarity, value = random(2, 5, 9), random(2, 9, 4, seed=1)
    assert torch.equal(top_k_read(similarity, value, 20), full_read(similarity, value))


def test_an_empty_memory_reads_zero():
    read = attention_read(random(1, 5, 8), torch.zeros(1, 0, 8), torch.zeros(1, 0, 4), top_k=20)
    assert torch.equal(read, torch.zeros(1, 5, 4))


def test_large_keys_do_not_overflow():
    """The released code takes the exponential as it is, which overflows here."""
    query = 100 * random(1, 5, 8)
    value = torch.rand(1, 9, 4)
    read = attention_read(query, query[:, :3].repeat(1, 3, 1), value, top_k=4)
    assert read.isfinite().all()
    assert read.max() <= value.max()


@pytest.mark.parametrize("top_k", [None, 4])
def test_blocks_change_nothing(monkeypatch, top_k):
    query, key, value = random(2, 11, 8), random(2, 9, 8, seed=1), random(2, 9, 4, seed=2)
    whole = attention_read(query, key, value, top_k=top_k)
    monkeypatch.setattr(affinity, "BLOCK", 2 * 9 * 3)
    torch.testing.assert_close(attention_read(query, key, value, top_k=top_k), whole)
    monkeypatch.setattr(affinity, "BLOCK", 1)
    torch.testing.assert_close(attention_read(query, key, value, top_k=top_k), whole)


@pytest.mark.parametrize("top_k", [None, 4])
def test_gradients_reach_queries_keys_and_values(top_k):
    parts = [
        random(2, 5, 8).requires_grad_(),
        random(2, 9, 8, seed=1).requires_grad_(),
        random(2, 9, 4).requires_grad_(),
    ]
    attention_read(*parts, top_k=top_k).square().sum().backward()
    wanted = [part.detach().clone().requires_grad_() for part in parts]
    similarity = -torch.cdist(wanted[0], wanted[1]).square() / 8**0.5
    dense(similarity, wanted[2], top_k or 9).square().sum().backward()
    for got, plain in zip(parts, wanted, strict=True):
        torch.testing.assert_close(got.grad, plain.grad, atol=1e-4, rtol=1e-4)


def test_half_precision_values_keep_their_type():
    with torch.autocast("cpu", torch.bfloat16):
        for top_k in (None, 4):
            read = attention_read(
                random(1, 5, 8).bfloat16(), random(1, 9, 8).bfloat16(), random(1, 9, 4).bfloat16(), top_k=top_k
            )
            assert read.dtype == torch.bfloat16
            assert read.isfinite().all()
        assert l2_similarity(random(1, 5, 8).bfloat16(), random(1, 9, 8).bfloat16()).dtype == torch.float32
