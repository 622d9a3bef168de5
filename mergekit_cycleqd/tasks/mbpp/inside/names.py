"""Which names of setup and tests are the judge's own, and which are the program's.

The judge runs all that tests are made of: builtins, imports, data and helpers of the setup. Of the
program come the names that are none of these. A builtin is the program's if the reference solution
defines it, as MBPP's `sum(a, b)` does, or if the tests name nothing else.
"""

from __future__ import annotations

import ast
import builtins

TYPE_CHECKING = False  # typing takes a third of the time that Python needs to start
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BUILTINS = frozenset(vars(builtins))


def loaded_names(code: str) -> list[str]:
    """List the names that code reads, in order."""
    return list(dict.fromkeys(_loads(ast.parse(code))))


def shadowed(reference: str, tests: Iterable[str]) -> set[str]:
    """Find the builtins that the program has to define.

    Args:
        reference: The reference solution; may be no Python.
        tests: The tests' code.
    """
    trees = [ast.parse(test) for test in tests]
    called = {name for tree in trees for name in _called(tree)} & _BUILTINS
    if not any(name not in _BUILTINS for tree in trees for name in _loads(tree)):
        return called
    try:
        body = ast.parse(reference).body
    except (SyntaxError, ValueError):
        return set()
    defined = (node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef)))
    return called & {node.name for node in defined}


def own_statements(setup: str, shadows: set[str]) -> str:
    """Choose the statements of a setup that need nothing of the program.

    A class is the program's: what is made of it is handed to the program.

    Args:
        setup: Its code.
        shadows: Builtins that are the program's.
    """
    known, theirs = set(_BUILTINS - shadows), set[str]()
    chosen = []
    for statement in ast.parse(setup).body:
        loads, bound = set(_loads(statement)), _bound(statement)
        if isinstance(statement, ast.ClassDef) or (loads | bound) & theirs or loads - bound - known:
            theirs |= _bound_here(statement)
        else:
            chosen.append(statement)
            known |= _bound_here(statement)
    return ast.unparse(ast.Module(chosen, []))


def imported_modules(code: str) -> Iterator[str]:
    """List the modules that code imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _loads(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            yield node.id


def _called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def _bound_here(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    return _bound(statement)


def _bound(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found
