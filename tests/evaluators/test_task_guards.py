"""Tasks of strangers and answers of models reach nothing through lm-eval."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import datasets.data_files
import lm_eval
import pytest
from jinja2.exceptions import SecurityError
from lm_eval.utils import apply_template
from transformers import AutoTokenizer

from mergekit_cycleqd.evaluators.task_guards import guard_templates, guarded_loading, runs_answers
from tests.support.families import make_family

NAME = "cycler['_' ~ '_init_' ~ '_']['_' ~ '_globals_' ~ '_']['os']['environ']['SECRET_OF_MINE']"


def test_a_template_does_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "hf_secret")
    guard_templates()
    with pytest.raises(SecurityError):
        apply_template(f"{{{{ {NAME} }}}}", {})
    for text in ("{{ 'a' * 10000000000 }}", "{{ 9 ** 9 ** 9 }}", "{{ [1] * 10000000000 }}"):
        with pytest.raises(OverflowError, match="in a template is too"):
            apply_template(text, {})


def test_templates_give_what_lm_eval_gives() -> None:
    guard_templates()
    text = "{{ q|regex_replace('a', 'b') }} {{ 'x' * 3 }} {{ 2 ** 3 }} {{ d.k.upper() }}\n"
    assert apply_template(text, {"q": "aa", "d": {"k": "y"}}) == "bb xxx 8 Y\n"


@pytest.mark.parametrize("pattern", ["/etc/hostname", "../x", "~/x", "https://x/y", "zip://a::b"])
def test_a_dataset_of_the_hub_lists_no_file_of_this_machine(pattern: str) -> None:
    with (
        guarded_loading(None, trusted=False),
        pytest.raises(ValueError, match="lists a file that is not in it"),
    ):
        datasets.data_files.resolve_pattern(pattern, base_path="hf://datasets/a/b@c")


def test_a_task_of_this_machine_lists_its_own(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").touch()
    with guarded_loading(None, trusted=False):
        found = datasets.data_files.resolve_pattern("*.jsonl", base_path=str(tmp_path))
    assert [Path(file).name for file in found] == ["x.jsonl"]


@pytest.mark.costly
def test_lm_evals_tasks_run_no_code_of_a_tokenizer(tmp_path: Path) -> None:
    folder = Path(make_family(tmp_path).base_model)
    config = folder / "tokenizer_config.json"
    auto = '"auto_map": {"AutoTokenizer": ["own.Own", null]}, "tokenizer_class": "Own"'
    config.write_text(f"{{{auto}}}")
    (folder / "own.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\nclass Own: pass\n")
    ruler = Path(lm_eval.__file__).parent / "tasks" / "ruler" / "niah_single_1.yaml"
    with guarded_loading(ruler, trusted=False), pytest.raises(ValueError, match="custom code"):
        AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    assert not (tmp_path / "canary").exists()


def test_a_task_that_evaluates_answers_is_known_though_its_file_is_silent() -> None:
    folder = Path(lm_eval.__file__).parent / "tasks" / "score" / "math" / "utils_math.py"
    code = compile("def process_results(doc, results): pass", str(folder), "exec")
    names: dict[str, object] = {}
    exec(code, names)
    scored = {"process_results": names["process_results"]}
    assert runs_answers(SimpleNamespace(get_config=scored.get))
    assert runs_answers(SimpleNamespace(UNSAFE_CODE=True))
    assert not runs_answers(SimpleNamespace(get_config={}.get))
    assert "parse_expr" in (folder.parent / "math_grader.py").read_text()
