"""What the site takes from the package itself: commands, schema, README; and formulas as MathML."""

from __future__ import annotations

import html
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

README = Path(__file__).parents[2] / "README.md"
_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\s*\\([(\[])(.*?)\\[)\]]\s*</\1>', flags=re.DOTALL
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what stands for parts of the package."""
    for mark, made in (
        ("{{ recipe_example }}", recipe_example),
        ("{{ recipe_schema }}", recipe_schema),
        ("{{ commands }}", all_commands),
    ):
        if mark in markdown:
            markdown = markdown.replace(mark, made())
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Turn formulas into MathML, which browsers show without a script."""
    return _FORMULA.sub(_mathml, html)


def _mathml(found: re.Match[str]) -> str:
    block = found[2] == "["
    made = convert(html.unescape(found[3]).strip(), display="block" if block else "inline")
    return f'<span class="formula">{made}</span>' if block else made


def recipe_example() -> str:
    """The recipe of a run that the README shows."""
    blocks = re.findall(r"```yaml\n.*?```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    return next(block for block in blocks if "\nexperts:" in block)


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
