"""Keeps shapes of one word in quotes: Griffe takes ``Float[Tensor, "N"]`` for a forward reference to ``N``."""

from typing import Any

import griffe


class JaxtypingShapes(griffe.Extension):
    """Puts back the quotes of every shape in the annotations of functions and attributes."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Parameters and result."""
        for parameter in func.parameters:
            _quote(parameter.annotation)
        _quote(func.returns)

    def on_attribute(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Fields of NamedTuples and properties."""
        _quote(attr.annotation)


def _quote(annotation: str | griffe.Expr | None) -> None:
    if not isinstance(annotation, griffe.Expr):
        return
    if isinstance(annotation, griffe.ExprSubscript) and annotation.left.canonical_path.startswith("jaxtyping."):
        inside = annotation.slice
        if isinstance(inside, griffe.ExprTuple) and isinstance(inside.elements[-1], griffe.Expr):
            elements = list(inside.elements)
            elements[-1] = repr(str(elements[-1]))
            inside.elements = elements
        return
    for part in annotation.iterate(flat=False):
        if part is not annotation:
            _quote(part)
