"""The card's section with code that uses the model."""

from __future__ import annotations

from mergekit_cycleqd.hub.card.pipelines import ModelKind, has_encoder, pipeline_tag


def model_usage(kind: ModelKind, repo: str) -> str:
    """Write code that uses a model, as a section of its card.

    Args:
        kind: The kind of the model.
        repo: Id of the model's repo.
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
    if tag == "image-text-to-text":
        return _seeing(kind, repo)
    if has_encoder(architecture):
        return f"""\
## Use

```python
from transformers import AutoTokenizer, {architecture}

model = {architecture}.from_pretrained("{repo}")
tokenizer = AutoTokenizer.from_pretrained("{repo}")
answers = model.generate(**tokenizer("Hello", return_tensors="pt"), max_new_tokens=64)
print(tokenizer.decode(answers[0], skip_special_tokens=True))
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


def _seeing(kind: ModelKind, repo: str) -> str:
    """Write code that uses a model of text that also sees images."""
    prompt, answer = '"Hello"', '["generated_text"]'
    if kind.chats:
        prompt = '[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]'
        answer += '[-1]["content"]'
    return f"""\
## Use

```python
from transformers import pipeline

generate = pipeline("image-text-to-text", model="{repo}")
print(generate(text={prompt}, max_new_tokens=64)[0]{answer})
```

```console
$ vllm serve {repo}
```"""
