"""Copy files of the base into a merged model that mergekit 0.1.5 leaves out."""

from __future__ import annotations

import shutil
from pathlib import Path

from mergekit.config import MergeConfiguration
from mergekit.options import MergeOptions

from mergekit_cycleqd.checkpoints.checkpoint import read_config

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
GENERATION = "generation_config.json"
_TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model", "vocab.json")


def without_tokenizer(config: MergeConfiguration, options: MergeOptions) -> MergeOptions:
    """Tell mergekit not to look for a tokenizer if the base has only an image processor."""
    folder = _base_folder(config, options)
    images = any((folder / name).is_file() for name in PROCESSOR_FILES)
    if not images or any((folder / name).is_file() for name in _TOKENIZER_FILES):
        return options
    return options.model_copy(update={"copy_tokenizer": False})


def copy_beside(config: MergeConfiguration, out: Path, options: MergeOptions) -> None:
    """Copy the image processor and the code of the base into a merged model, if there are any.

    Code is copied if config.json names it, and runs only where `trust_remote_code` is given.
    mergekit copies how to generate beside the base's tokenizer. It does not if it writes a
    tokenizer of its own.

    Args:
        config: Configuration of the merge.
        out: Folder of the merged model.
        options: Options of the merge.
    """
    folder = _base_folder(config, options)
    own_tokenizer = config.tokenizer or config.tokenizer_source
    code = [path.name for path in folder.glob("*.py")] if _has_code(out) else []
    for name in (*PROCESSOR_FILES, *([GENERATION] if own_tokenizer else []), *code):
        if (folder / name).is_file() and not (out / name).exists():
            shutil.copyfile(folder / name, out / name)


def _has_code(model: Path) -> bool:
    """Whether a model's class is in files beside it, and not in a Hub repo (`org/name--`)."""
    named = read_config(model.name, model / "config.json").get("auto_map") or {}
    return any("--" not in str(name) for name in named.values())


def _base_folder(config: MergeConfiguration, options: MergeOptions) -> Path:
    donor = config.base_model or config.referenced_models()[0]
    return Path(donor.local_path(options.transformers_cache, ignore_lora=True))
