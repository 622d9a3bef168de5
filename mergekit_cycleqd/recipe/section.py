"""What every section of a recipe is: unknown keys refused, nothing changes after reading."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
)
from pydantic_core import to_jsonable_python

LARGEST = 1e300  # so that the difference of two is finite


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
