import math

import pytest
import torch

from vosfw.model.proxy.grid import GridProxies

SIZE = (7, 9)
PLACES = torch.stack(torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij"))[None]
"""Each cell's embedding is its row and column."""


def boxed(*boxes):
    masks = torch.zeros(1, len(boxes), *SIZE)
    for k, (top, bottom, left, right) in enumerate(boxes):
        masks[0, k, top:bottom, left:right] = 1
    return masks


def plain(mask, count):
    """Cells nearest to the grid, in a loop; the first in raster order if two are as near."""
    ys, xs = torch.where(mask > 0)
    top, left = ys.min().item(), xs.min().item()
    tall, wide = ys.max().item() - top + 1, xs.max().item() - left + 1
    rows, found = math.isqrt(count), []
    lengths = [count * (r + 1) // rows - count * r // rows for r in range(rows)]
    for row, length in enumerate(lengths):
        for place in range(length):
            y, x = top + (row + 0.5) / rows * tall - 0.5, left + (place + 0.5) / length * wide - 0.5
            far = (ys - y) ** 2 + (xs - x) ** 2
            found.append([ys[far.argmin()].item(), xs[far.argmin()].item()])
    return torch.tensor(found)


def test_four_proxies_of_a_square_by_hand():
    vectors, used = GridProxies()(PLACES, boxed((1, 5, 2, 6)), 4)
    assert used.all()
    # Quarters of rows 1 to 4 and columns 2 to 5 have their middles at 1.5, 3.5 and 2.5, 4.5: ties go to the first cell.
    assert vectors[0, 0].tolist() == [[1, 2], [1, 4], [3, 2], [3, 4]]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 16])
def test_cells_nearest_to_the_grid_in_a_loop(count):
    ragged = (torch.rand(1, 2, *SIZE, generator=torch.Generator().manual_seed(count)) > 0.6).float()
    ragged[:, 1] *= 1 - ragged[:, 0]
    vectors, used = GridProxies()(PLACES, ragged, count)
    assert used.all() and vectors.shape == (1, 2, count, 2)
    for k in range(2):
        assert torch.equal(vectors[0, k], plain(ragged[0, k], count).float())


def test_an_absent_object_has_none_and_a_small_one_has_its_cell_again():
    vectors, used = GridProxies()(PLACES, boxed((0, 0, 0, 0), (3, 4, 5, 6)), 4)
    assert used.sum(2).tolist() == [[0, 4]]
    assert vectors[0, 1].tolist() == [[3, 5]] * 4


def test_gradients_reach_the_chosen_cells_alone():
    embedding = PLACES.clone().requires_grad_()
    GridProxies()(embedding, boxed((1, 5, 2, 6)), 4).vectors.sum().backward()
    assert (embedding.grad.sum(1) > 0).sum() == 4
