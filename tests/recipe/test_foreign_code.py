"""What in a stranger's files could run code, found by reading alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergekit_cycleqd.recipe.foreign_code import foreign_code


def items(folder: Path, name: str, text: str) -> tuple[str, ...]:
    (folder / "tasks").mkdir(exist_ok=True)
    (folder / "tasks" / name).write_text(text)
    return foreign_code(folder, folder / "recipe.yaml", folder / "tasks").items


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: !function os.system", "a: !function os.system"),
        ("a: {b: [1, !function x.y]}", "a.b[1]: !function x.y"),
        ("!function x.y : 1", "!function x.y"),
        ("a: &b !function x.y\nc: *b", "a: !function x.y"),
        ("a: !!python/object/apply:os.system [id]", "a: tag:yaml.org,2002:python/object/apply"),
        ('a: "{{ cycler.__init__.__globals__ }}"', "a: a template that reaches into objects"),
        ("a: \"{{ x['__class__'] }}\"", "a: a template that reaches into objects"),
        ("a: \"{{ x|attr('y') }}\"", "a: a template that reaches into objects"),
        ('a: "{{ f(1) }}"', "a: a template that calls"),
        ('a: "{% if x.y() %}b{% endif %}"', "a: a template that calls"),
        ('a: "{{ "', "a: a template that cannot be looked into"),
        ("dataset_kwargs: {trust_remote_code: true}", "dataset_kwargs.trust_remote_code: true"),
        ("metric_list: [{metric: evil/space}]", "metric_list[0].metric: 'evil/space', a metric"),
        ("metric_list: [{metric: code_eval}]", "metric_list[0].metric: 'code_eval', a metric"),
        ("metric_list: [{metric: acc, hf_evaluate: true}]", "hf_evaluate: true, which lets"),
        ("dataset_path: make.py", "dataset_path: 'make.py', a script"),
        ("include: ../../other.yaml", "include: '../../other.yaml', a path outside of the run"),
        ("include: /etc/x.yaml", "include: '/etc/x.yaml', a path outside of the run"),
        ("dataset_kwargs: {data_files: ~/x.json}", "'~/x.json', a path outside of the run"),
        ("dataset_kwargs: {data_files: 'http://a/b'}", "'http://a/b', an address"),
        ("a: [", "cannot be looked into"),
        ("[" * 200 + "]" * 200, "cannot be looked into"),
    ],
)
def test_code_in_a_task_file_is_listed(text: str, found: str, tmp_path: Path) -> None:
    lines = items(tmp_path, "t.yaml", text)
    assert any(line.startswith("tasks/t.yaml: ") and found in line for line in lines), lines


@pytest.mark.parametrize(
    "text",
    [
        "task: a\ndoc_to_text: prompt\nmetric_list: [{metric: acc, aggregation: mean}]",
        'doc_to_text: "{{question|trim}} (A) {{choices[0]}}{% for c in x %}{{c.text}}{% endfor %}"',
        "dataset_path: openai/gsm8k\ndataset_kwargs: {trust_remote_code: false}",
        "doc_to_text: 'Answer / reply: {question}'\ntarget_delimiter: ' '",
        "include: base.yaml\ntags: [hf://datasets/a/b]",
    ],
)
def test_plain_tasks_need_no_yes(text: str, tmp_path: Path) -> None:
    assert items(tmp_path, "t.yaml", text) == ()


def test_python_files_and_options_of_the_recipe_are_listed(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "engine: {kind: vllm, options: {worker_cls: a.b}}\n"
        "tasks: [{metadata: {dsn: 'x', image: y, prompt: z}}]\n"
    )
    assert items(tmp_path, "x.py", "a = 1\n") == (
        "recipe.yaml: engine.options: {'worker_cls': 'a.b'}, which may name code",
        "recipe.yaml: tasks[0].metadata.dsn: 'x', which is run or connected to",
        "recipe.yaml: tasks[0].metadata.image: 'y', which is run or connected to",
        "tasks/x.py: Python code, 1 lines",
    )


def test_code_in_a_folder_of_caches_is_listed_too(tmp_path: Path) -> None:
    hidden = tmp_path / "tasks" / "__pycache__"
    hidden.mkdir(parents=True)
    (hidden / "x.py").write_text("a = 1\n")
    before = foreign_code(tmp_path, tmp_path / "recipe.yaml", tmp_path / "tasks")
    assert before.items == ("tasks/__pycache__/x.py: Python code, 1 lines",)
    (hidden / "x.cpython-311.pyc").write_bytes(b"made by Python")
    after = foreign_code(tmp_path, tmp_path / "recipe.yaml", tmp_path / "tasks")
    assert after == before
