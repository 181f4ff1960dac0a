"""Evaluate a checkpoint: python evaluate.py ckpt_path=best.ckpt data=davis (options: configs/evaluate.yaml)."""

import sys

from vosfw.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
