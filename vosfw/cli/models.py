"""``vosfw models``: what can be composed by name."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print the compositions with papers and numbers of parameters."""
    from vosfw.hub import list_models

    cards = list_models()
    if options.json:
        print(json.dumps([card._asdict() for card in cards], indent=2))
        return 0
    width = max(len(card.name) for card in cards)
    print(f"{'model':<{width}}  {'parameters':>12}  what it is")
    for card in cards:
        print(f"{card.name:<{width}}  {card.parameters:>12,}  {card.title}")
    print("\nUse one with: python train.py model=NAME, or vosfw.load(NAME, weights=None)")
    return 0
