"""Train a composition: python train.py model=stcn trainer.precision=bf16-mixed (options: configs/train.yaml)."""

import sys

from vosfw.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
