"""What of a stranger's template is more than values, loops and plain filters, by its syntax."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_PLAIN = ("Template", "Output", "If", "For", "Assign")
_NUMBERS = ("abs", "count", "first", "float", "int", "last", "length", "max", "min", "round")
_OF_ATTRIBUTES = ("join", "max", "min", "sort", "sum", "unique")
"""Filters that take the name of an attribute."""
_FILTERS = (
    *(*_NUMBERS, *_OF_ATTRIBUTES, "capitalize", "d", "default", "e", "escape", "list", "lower"),
    *("regex_replace", "replace", "reverse", "safe", "string", "title", "tojson", "trim"),
    *("upper", "wordcount"),
)
_OF_LOOP = (
    *("index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0"),
    *("previtem", "nextitem"),
)


def template_code(text: str) -> str | None:
    """Why a template may reach more than the values of a sample; None if it cannot.

    lm-eval itself fills templates without a sandbox: a call may be one of any function, and an
    attribute may lead to this process's environment with its tokens.
    """
    from jinja2 import Environment

    try:
        return next(_reasons(Environment(autoescape=True).parse(text)), None)
    except Exception:  # of a stranger's text, any; also where it is nested too deep
        return "cannot be looked into"


def _reasons(tree: Any) -> Iterator[str]:
    from jinja2 import nodes

    if tree.find(nodes.Call):
        yield "calls"
    for statement in tree.find_all(nodes.Stmt):
        if type(statement).__name__ not in _PLAIN:
            yield f"has a statement of kind {type(statement).__name__}"
    for each in tree.find_all(nodes.Filter):
        named = len(each.args) > 1 or any(pair.key == "attribute" for pair in each.kwargs)
        if each.name not in _FILTERS or (each.name in _OF_ATTRIBUTES and named):
            yield f"reaches into objects, or makes a text of any size, by {each.name}"
    yield from _attributes(tree)
    yield from _engine_objects(tree)
    if tree.find(nodes.Pow) or any(map(_is_repeated, tree.find_all((nodes.Mul, nodes.Mod)))):
        yield "makes a number or a text of any size"


def _attributes(tree: Any) -> Iterator[str]:
    """Attributes of Python's own, by a name that is written there or put together."""
    from jinja2 import nodes

    written = {each.attr for each in tree.find_all(nodes.Getattr)}
    written |= {each.arg.value for each in _indexed(tree) if isinstance(each.arg, nodes.Const)}
    texts = {str(each.value) for each in tree.find_all(nodes.Const)}
    if any(str(name).startswith("_") for name in written) or any(
        text.startswith("__") for text in texts
    ):
        yield "reaches into objects"
    made = {
        name.name
        for each in tree.find_all((nodes.Assign, nodes.For))
        if _joins(each.node if isinstance(each, nodes.Assign) else each.iter)
        for name in (each.target, *each.target.find_all(nodes.Name))
        if isinstance(name, nodes.Name)
    }
    for each in _indexed(tree):
        names = {name.name for name in (each.arg, *each.arg.find_all(nodes.Name)) if _is_name(name)}
        if _joins(each.arg) or names & made:
            yield "reaches into objects, by a name that it puts together"


def _indexed(tree: Any) -> Iterator[Any]:
    from jinja2 import nodes

    return tree.find_all(nodes.Getitem)  # type: ignore[no-any-return]


def _is_name(node: Any) -> bool:
    from jinja2 import nodes

    return isinstance(node, nodes.Name)


def _joins(node: Any) -> bool:
    """Whether an expression may put texts together."""
    from jinja2 import nodes

    inner = [node, *node.find_all(nodes.Node)]
    filters = {each.name for each in inner if isinstance(each, nodes.Filter)}
    sums = [each for each in inner if isinstance(each, nodes.BinExpr)]
    return (
        any(isinstance(each, nodes.Concat) for each in inner)
        or bool(filters - set(_NUMBERS))
        or any(_is_text(side) for each in sums for side in (each.left, each.right))
    )


def _engine_objects(tree: Any) -> Iterator[str]:
    """Objects that every template has; each leads to the modules of the template engine."""
    from jinja2 import nodes
    from jinja2.defaults import DEFAULT_NAMESPACE

    own = {*DEFAULT_NAMESPACE, "self", "caller", "varargs", "kwargs"}
    loops = 0
    for each in tree.find_all(nodes.Name):
        loops += each.name == "loop"
        if each.name in own:
            yield f"names an object of the template engine, {each.name}"
    for each in tree.find_all(nodes.Getattr):
        loops -= _is_name(each.node) and each.node.name == "loop" and each.attr in _OF_LOOP
    if loops:
        yield "names an object of the template engine, loop"


def _is_repeated(node: Any) -> bool:
    """Whether a product or a format has a text or a list in it."""
    from jinja2 import nodes

    return any(
        _is_text(side) or isinstance(side, nodes.List | nodes.Tuple)
        for side in (node.left, node.right)
    )


def _is_text(node: Any) -> bool:
    from jinja2 import nodes

    return isinstance(node, nodes.Const) and isinstance(node.value, str)
