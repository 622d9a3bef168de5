"""Whether a model's tokens see the tokens after them, found by running it."""

from __future__ import annotations

from typing import Any

import torch

_LENGTH = 16
_ROUNDING = 0.02  # of the logits' standard deviation; 16 bits change a batch's rows by less


@torch.no_grad()
def looks_ahead(model: Any, tokenizer: Any) -> bool:
    """Whether the logits of a token depend on later tokens, as in an encoder.

    PaliGemma reads a prompt so. The likelihood of an answer that stands in the prompt would then
    be computed from the answer itself.

    Args:
        model: A model of transformers, on its device.
        tokenizer: Its tokenizer.
    """
    special = {*tokenizer.all_special_ids, *_of_images(model.config)}
    one, other = [i for i in range(len(tokenizer)) if i not in special][:2]
    ids = torch.full((2, _LENGTH), one, device=model.device)
    ids[1, _LENGTH // 2 :] = other
    first, second = model(ids).logits[:, : _LENGTH // 2].float()
    return bool((first - second).abs().max() > _ROUNDING * first.std())


def _of_images(config: Any) -> set[Any]:
    return {getattr(config, key, None) for key in ("image_token_id", "image_token_index")}
