"""A local web page to draw masks, propagate them and correct what came out: ``vosfw annotate``."""
