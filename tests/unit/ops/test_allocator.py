import platform
import subprocess
import sys

from vosfw.ops import allocator

FAULTS = """
import resource, torch
from vosfw.ops.allocator import keep_large_blocks
torch.set_num_threads(1)
took = {keep} and keep_large_blocks() and keep_large_blocks()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.zeros(12_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(int(took), min(faults() for _ in range(6)))
"""


def test_large_blocks_are_reused():
    """Page faults of allocating 48 MB again and again, in processes of their own."""
    results = []
    for keep in (False, True):
        code = FAULTS.format(keep=keep)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        results.append([int(word) for word in done.stdout.split()])
    (_, plain), (took, reused) = results
    assert bool(took) == (platform.libc_ver()[0] == "glibc")
    assert reused < plain / 10 or not took


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert allocator.keep_large_blocks.__wrapped__() is False
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert allocator.keep_large_blocks.__wrapped__() is False
