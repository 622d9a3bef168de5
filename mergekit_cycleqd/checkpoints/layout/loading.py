"""How transformers loads stored tensors: under other names, and some of them put together.

A vision-language model is stored as `language_model.model.*` and loaded as
`model.language_model.*`. The experts of a mixture are stored one by one and loaded as one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from torch import Tensor, nn


class Source(NamedTuple):
    """A stored tensor, and the pattern of the conversion that takes it; None if it is renamed."""

    name: str
    pattern: str | None


class Loading:
    """transformers' rules for loading checkpoints into one model.

    Attributes:
        model: The model.
    """

    def __init__(self, model: nn.Module) -> None:
        """Collect the rules.

        Args:
            model: A model that transformers loaded or laid out. Others are loaded by name.
        """
        from transformers import PreTrainedModel
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter

        self.model = model
        self._names: dict[str, Any] = dict(model.state_dict())
        known: list[Any] = []
        self._prefix = None
        if isinstance(model, PreTrainedModel):
            known = get_model_conversion_mapping(model)
            self._prefix = model.base_model_prefix
        self._converters = [rule for rule in known if isinstance(rule, WeightConverter)]
        self._renamings = [rule for rule in known if not isinstance(rule, WeightConverter)]
        self._by_pattern = {
            pattern: converter
            for converter in self._converters
            for pattern in converter.source_patterns
        }

    def sources(self, names: Iterable[str]) -> dict[str, tuple[Source, ...]]:
        """Find the stored tensors of which each loaded tensor is made.

        A conversion of several tensors into several is listed under the first loaded name.

        Args:
            names: Names of the stored tensors.

        Returns:
            The stored tensors by loaded name, in the order in which transformers joins them.
            Tensors that the model does not have are left out.
        """
        from transformers.core_model_loading import dot_natural_key

        found: dict[str, tuple[Source, ...]] = {}
        renamings = deepcopy(self._renamings)  # some rules change state as they see names
        for name in sorted(names, key=dot_natural_key):
            loaded, pattern = self._rename(name, renamings, self._converters)
            if loaded not in self._names and name in self._names:
                loaded, pattern = self._rename(name, [], [])
            if loaded not in self._names:
                continue
            if pattern is None:
                found.setdefault(loaded, (Source(name, None),))
            else:
                found[loaded] = (*found.get(loaded, ()), Source(name, pattern))
        return found

    def _rename(
        self, name: str, renamings: Sequence[Any], converters: Sequence[Any]
    ) -> tuple[str, str | None]:
        from transformers.core_model_loading import rename_source_key

        found: tuple[str, str | None] = rename_source_key(
            name, renamings, converters, self._prefix, self._names
        )
        return found

    def convert(
        self, loaded: str, sources: Sequence[Source], tensor: Callable[[str], Tensor]
    ) -> Mapping[str, Tensor]:
        """Make loaded tensors of stored ones.

        Args:
            loaded: The loaded name under which the sources are listed.
            sources: The stored tensors.
            tensor: Gives a stored tensor by its name.

        Returns:
            Loaded tensors by name: one, or several if the conversion takes a tensor apart.
        """
        first = sources[0]
        if first.pattern is None:
            return {loaded: tensor(first.name)}
        converter = deepcopy(self._by_pattern[first.pattern])
        for name, pattern in sources:
            converter.add_tensor(loaded, name, pattern, tensor(name))
        made = converter.convert(loaded, model=self.model, config=self.model.config)
        return {
            name: value[0] if isinstance(value, list) else value for name, value in made.items()
        }
