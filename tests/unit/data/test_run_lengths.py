"""Run lengths, worked out by hand."""

import numpy as np
import pytest

from vosfw.data.run_lengths import decode_brush, decode_counts, expand
from vosfw.errors import DatasetError


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", []),
        # 6 is one group of 5 bits, 00110, and no more: 6 + 48 is '6'.
        ("6", [6]),
        # 15 fits 5 bits with a sign of 0; 16 does not, since its highest bit would be the sign.
        ("?", [15]),
        # 16: low group 10000 with more to follow (32 + 16 + 48 = 96, a backtick), then 0.
        ("`0", [16]),
        # 100 = 3 * 32 + 4: 4 + 32 + 48 = 84 'T', then 3 + 48 '3'.
        ("T3", [100]),
        # From the fourth on the difference to the last but one: 5 - 2 = 3, then 1 - 3 = -2 (11110: 30 + 48, 'N').
        ("1233", [1, 2, 3, 5]),
        ("1233N", [1, 2, 3, 5, 1]),
    ],
)
def test_compressed_counts(text, counts):
    assert decode_counts(text) == counts


def test_runs_go_down_columns_or_along_rows():
    # Columns of 2 rows: (0, 0), (1, 0), (0, 1), ...
    np.testing.assert_array_equal(expand([1, 2, 3], (2, 3), by_columns=True), [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(expand([1, 2, 3], (2, 3), by_columns=False), [[0, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(expand([0, 6], (2, 3), by_columns=False), np.ones((2, 3)))


def stroke(bits):
    bits = bits.replace(" ", "")
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


HEAD = f"{12:032b} 00111 0001 0011 0111 1111"
"""12 values (3 pixels) of 8 bits; lengths of 2, 4, 8 and 16 bits."""


def test_a_brush_of_single_and_repeated_values():
    # 8 times 255 by a length of 4 bits (8 - 1 = 0111), then 4 single values by one of 2 bits (4 - 1 = 11).
    data = stroke(HEAD + "1 01 0111 11111111" + "0 00 11" + "00000000" * 3 + "10000000")
    np.testing.assert_array_equal(decode_brush(data, (1, 3)), [[255, 255, 128]])


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        (HEAD + "1 01 0111 11111111", "end early"),
        (HEAD + "1 01 1111 11111111", "run over"),
        (f"{999:032b}", "999 values; wanted 12"),
    ],
)
def test_a_damaged_brush(bits, said):
    with pytest.raises(DatasetError, match=said):
        decode_brush(stroke(bits), (1, 3))


def test_no_bytes():
    with pytest.raises(DatasetError, match="something else than bytes"):
        decode_brush([1, 2, 256], (1, 3))
