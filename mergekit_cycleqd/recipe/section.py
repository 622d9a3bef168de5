"""What every section of a recipe is: unknown keys refused, nothing changes after reading."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
)
from pydantic_core import CoreSchema, core_schema, to_jsonable_python

LARGEST = 1e300  # so that the difference of two is finite
MANY = 10**9  # of anything that is counted; more is a slip of the hand


def _plain(value: Any) -> Any:
    """Refuse what the journal could not hold."""
    try:
        json.dumps(to_jsonable_python(value), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"must hold text, finite numbers, lists and mappings: {error}") from None
    return value


Options = Annotated[dict[str, Any] | None, AfterValidator(_plain)]


class Strict(BaseModel):
    """A section: unknown keys are refused, and nothing changes once it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def if_unsaid(kind: str) -> BeforeValidator:
    """The kind of a section that names none."""
    return BeforeValidator(lambda v: {"kind": kind, **v} if isinstance(v, Mapping) else v)


class OneOf:
    """A text that must be one of the names of a table, as `Literal` has it with names by hand."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the names, in the order in which messages list them."""
        self.names = tuple(names)

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        """What pydantic checks values with; the name is pydantic's."""
        return core_schema.literal_schema(list(self.names))
