"""Shared set-up of the tests: shapes are checked at run time, tensors stay small."""

import os

from jaxtyping import install_import_hook

if os.environ.get("VOSFW_CHECK_SHAPES", "1") == "1":
    install_import_hook("vosfw", "beartype.beartype")
