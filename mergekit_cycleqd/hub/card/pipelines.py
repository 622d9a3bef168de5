"""What a published model is for, on the Hub and in code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.recipe.recipe import Task

_PROMPTED = re.compile(r"(Sam|EdgeTam)\w*Model")
_LABELLING = ("ForSemanticSegmentation", "ForUniversalSegmentation", "ForInstanceSegmentation")


@dataclass(frozen=True)
class Kind:
    """What a model is, as far as it is known here.

    Attributes:
        architecture: Such as ``LlamaForCausalLM``; empty if not known.
        chats: Whether its tokenizer has a chat template.
    """

    architecture: str = ""
    chats: bool = False

    @classmethod
    def of(cls, model: Checkpoint) -> Kind:
        """What a model's own files say.

        Raises:
            ModelError: If they cannot be read.
        """
        tokenizer = model.folder / "tokenizer_config.json"
        chats = (model.folder / "chat_template.jinja").is_file() or (
            tokenizer.is_file() and '"chat_template"' in tokenizer.read_text(encoding="utf-8")
        )
        return cls(str((model.config.get("architectures") or [""])[0]), chats)


def pipeline_tag(architecture: str) -> str | None:
    """The Hub's name for what a model does; None where the architecture does not tell."""
    if architecture.endswith("ForCausalLM"):
        return "text-generation"
    if architecture.endswith(_LABELLING):
        return "image-segmentation"
    return "mask-generation" if _PROMPTED.fullmatch(architecture) else None


def usage(kind: Kind, repo: str) -> str:
    """How to use a model, as a section of its card.

    Args:
        kind: What it is.
        repo: Its id.
    """
    architecture = kind.architecture
    tag = pipeline_tag(architecture)
    if tag == "image-segmentation":
        return f"""\
## Use

```python
from transformers import pipeline

segment = pipeline("image-segmentation", model="{repo}")
print(segment("image.png"))
```"""
    if tag == "mask-generation":
        sizes = 'inputs["original_sizes"]'
        if architecture in ("SamModel", "SamHQModel"):
            sizes += ', inputs["reshaped_input_sizes"]'
        return f"""\
## Use

```python
from PIL import Image
from transformers import AutoProcessor, {architecture}

model = {architecture}.from_pretrained("{repo}")
processor = AutoProcessor.from_pretrained("{repo}")
image = Image.open("image.png").convert("RGB")
box = [0, 0, image.width - 1, image.height - 1]  # around what is to be found
inputs = processor(images=image, input_boxes=[[box]], return_tensors="pt")
found = model(**inputs, multimask_output=False).pred_masks
(mask,) = processor.post_process_masks(found, {sizes})
print(mask.shape)
```"""
    prompt, answer = '"Hello"', '["generated_text"]'
    if kind.chats:
        prompt = '[{"role": "user", "content": "Hello"}]'
        answer += '[-1]["content"]'
    return f"""\
## Use

```python
from transformers import pipeline

generate = pipeline("text-generation", model="{repo}")
print(generate({prompt}, max_new_tokens=64)[0]{answer})
```

```console
$ vllm serve {repo}
```"""


def public_name(task: Task) -> str:
    """A task's data or function without the folders that it lies in on its publisher's machine."""
    if task.evaluator in ("segmentation", "python") and PurePath(task.task).is_absolute():
        return PurePath(task.task).name
    return task.task
