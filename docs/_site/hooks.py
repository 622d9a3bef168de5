"""Parts of the site that are made: commands, recipe schema, pages of the root, formulas, links."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import click
from latex2mathml.converter import convert
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mergekit_cycleqd.cli.main import commands
from mergekit_cycleqd.recipe.recipe import Recipe

ROOT = Path(__file__).parents[2]
FROM_THE_ROOT = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the root that are pages of the site too."""
_LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")
_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\s*\\([(\[])(.*?)\\[)\]]\s*</\1>', flags=re.DOTALL
)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put in what marks stand for, and lead links out of docs/ to where they lead on the site."""
    folder = ROOT / "docs" / Path(page.file.src_uri).parent
    for name in FROM_THE_ROOT:
        if (mark := "{{ " + name + " }}") in markdown:
            text = drawn((ROOT / name).read_text(encoding="utf-8"))
            markdown = markdown.replace(mark, with_links(text, ROOT, folder))
    markdown = with_links(markdown, folder, folder)
    for mark, made in (("{{ recipe_schema }}", recipe_schema), ("{{ commands }}", all_commands)):
        if mark in markdown:
            markdown = markdown.replace(mark, made())
    return markdown


def with_links(markdown: str, beside: Path, folder: Path) -> str:
    """Turn links that are relative to `beside` into those of a page of the site in `folder`.

    What is no page of the site is a link to the repository, whose address pyproject.toml has.
    """

    def link(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(beside / found[1]))
        place = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else ""
        if place in FROM_THE_ROOT:
            target = ROOT / "docs" / FROM_THE_ROOT[place]
        elif place == "README.md":
            target = ROOT / "docs/index.md"
        elif not place:  # such as ../../security of the repository's own pages
            return f"]({repository()}/{found[1].lstrip('./')}{found[2] or ''})"
        elif not target.is_relative_to(ROOT / "docs"):
            kind = "tree" if target.is_dir() else "blob"
            return f"]({repository()}/{kind}/main/{place}{found[2] or ''})"
        return f"]({Path(os.path.relpath(target, folder)).as_posix()}{found[2] or ''})"

    return _LINK.sub(link, markdown)


def repository() -> str:
    """The repository's address."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^Repository = "(.*)"$', project, flags=re.MULTILINE)
    assert found is not None
    return found[1]


def drawn(markdown: str) -> str:
    """Draw the Mermaid diagram of a page, which GitHub draws by a script."""
    return re.sub(
        r"^```mermaid\nflowchart TD\n(.*?)^```$",
        lambda found: _diagram(found[1]),
        markdown,
        flags=re.DOTALL | re.MULTILINE,
    )


_WIDE, _HIGH = 150, 58


def _diagram(text: str) -> str:
    """An SVG of arrows such as `a & b --> c & d`: what is imported stands lower."""
    arrows = [
        (above, below)
        for line in text.splitlines()
        for left, right in [line.split("-->")]
        for above in map(str.strip, left.split("&"))
        for below in map(str.strip, right.split("&"))
    ]
    names = list(dict.fromkeys(name for arrow in arrows for name in arrow))
    storey = dict.fromkeys(names, 0)
    for _ in names:
        for above, below in arrows:
            storey[above] = max(storey[above], storey[below] + 1)
    rows = [[n for n in names if storey[n] == i] for i in range(max(storey.values()), -1, -1)]
    width = max(map(len, rows)) * _WIDE
    places = {
        name: (width * (2 * i + 1) // (2 * len(row)), 24 + _HIGH * j)
        for j, row in enumerate(rows)
        for i, name in enumerate(row)
    }
    lines = "".join(
        f'<line x1="{places[a][0]}" y1="{places[a][1] + 13}" '
        f'x2="{places[b][0]}" y2="{places[b][1] - 13}"/>'
        for a, b in arrows
    )
    boxes = "".join(
        f'<rect x="{x - 65}" y="{y - 13}" width="130" height="26" rx="4"/>'
        f'<text x="{x}" y="{y + 4}">{name}</text>'
        for name, (x, y) in places.items()
    )
    return (
        f'<svg class="storeys" role="img" aria-label="Which folder imports which" '
        f'viewBox="0 0 {width} {24 + _HIGH * len(rows) - 24}">{lines}{boxes}</svg>'
    )


def on_page_content(html: str, **_: Any) -> str:
    """Turn formulas into MathML, which browsers show without a script."""
    return _FORMULA.sub(_mathml, html)


def _mathml(found: re.Match[str]) -> str:
    block = found[2] == "["
    made = convert(html.unescape(found[3]).strip(), display="block" if block else "inline")
    return f'<span class="formula">{made}</span>' if block else made


def all_commands() -> str:
    """The help of every command."""
    return "\n\n".join(f"## {name}\n\n```text\n{text}\n```" for name, text in _helps())


def _helps() -> Iterator[tuple[str, str]]:
    context = click.Context(commands, info_name="mergekit-cycleqd", terminal_width=78)
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        inner = click.Context(command, info_name=name, parent=context, terminal_width=78)
        if isinstance(command, click.Group):
            for sub in command.list_commands(inner):
                child = command.get_command(inner, sub)
                deep = click.Context(child, info_name=sub, parent=inner, terminal_width=78)
                yield f"{name} {sub}", child.get_help(deep)
        elif name != "merge":
            yield name, command.get_help(inner)
    yield (
        "merge",
        (
            "Usage: mergekit-cycleqd merge [OPTIONS] CONFIG_FILE OUT_PATH\n\n"
            "  Merge the recipe of a model; takes every option of mergekit-yaml, which\n"
            "  `mergekit-cycleqd merge --help` lists."
        ),
    )


def recipe_schema() -> str:
    """A table per section of the recipe: keys, types with their limits, defaults."""
    return "\n\n".join(_section(path, section) for path, section in _sections("", Recipe))


def _sections(path: str, section: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, section
    for name, field in section.model_fields.items():
        for inner in _models(field.annotation):
            many = get_origin(field.annotation) is tuple
            kind = inner.model_fields.get("kind")
            choice = (
                f" (kind: {get_args(kind.annotation)[0]})" if name == "mutation" and kind else ""
            )
            yield from _sections(f"{path}.{name}{'[]' if many else ''}{choice}".lstrip("."), inner)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _section(path: str, section: type[BaseModel]) -> str:
    properties = section.model_json_schema(mode="validation").get("properties", {})
    doc = " ".join((section.__doc__ or "").split())
    lines = [f"## {path or 'The whole'}", "", doc, "", "| key | what it takes | default |"]
    lines.append("| --- | --- | --- |")
    for name, field in section.model_fields.items():
        if field.is_required():
            default = "required"
        elif field.default is PydanticUndefined or isinstance(field.default, BaseModel):
            default = "see there"
        else:
            default = f"`{_plain(field.default)}`"
        lines.append(f"| `{name}` | {_type(properties.get(name, {}))} | {default} |")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return ", ".join(value) if isinstance(value, tuple) else str(value)


_WORDS = {"string": "text", "integer": "whole number", "object": "mapping", "null": "null"}
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "pattern": "like `{}`",
}


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema or "oneOf" in schema:
        parts = [_type(part) for part in schema.get("anyOf", schema.get("oneOf"))]
        return " or ".join(dict.fromkeys(parts))
    if "enum" in schema or "const" in schema:
        return " \\| ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema:
        return "section"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    words = {"number": "number", "boolean": "`true` \\| `false`", **_WORDS}
    name = words.get(schema.get("type", ""), "see above")
    limits = [text.format(schema[key]) for key, text in _LIMITS.items() if key in schema]
    return ", ".join([name, *limits]).replace("|$", "\\|$")
