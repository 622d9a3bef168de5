"""What every section of a recipe is: unknown keys refused, nothing changes after reading."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import (
    CoreSchema,
    InitErrorDetails,
    PydanticCustomError,
    core_schema,
    to_jsonable_python,
)

if TYPE_CHECKING:
    from typing_extensions import Self

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


class NoBooleanNumbers(BaseModel):
    """A section whose numbers are no booleans: pydantic would take true for 1."""

    @model_validator(mode="wrap")
    @classmethod
    def _no_boolean_as_a_number(cls, content: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        section = check(content)
        given = content if isinstance(content, Mapping) else {}
        taken = {key: getattr(section, key) for key in given if key in cls.model_fields}
        if faults := [_fault(where, value) for where, value in _taken_as_numbers(given, taken)]:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return section


def _taken_as_numbers(value: Any, taken: Any) -> Iterator[tuple[tuple[int | str, ...], bool]]:
    """Where booleans stand in a value that became numbers when it was checked."""
    if isinstance(value, bool):
        if isinstance(taken, int | float) and not isinstance(taken, bool):
            yield (), value
        return
    keys: Iterable[int | str] = ()
    if isinstance(value, Mapping) and isinstance(taken, Mapping):
        keys = [key for key in value if key in taken]
    elif isinstance(value, list | tuple) and isinstance(taken, list | tuple):
        keys = range(min(len(value), len(taken)))
    for key in keys:
        for where, boolean in _taken_as_numbers(value[key], taken[key]):
            yield (key, *where), boolean


def _fault(where: tuple[int | str, ...], value: bool) -> InitErrorDetails:
    kind = PydanticCustomError("boolean", "must be a number")
    return InitErrorDetails(type=kind, loc=where, input=value)


class Strict(NoBooleanNumbers):
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
