"""The tables' kept scores: found once, and not taken where other files decide them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "miniature"))
from kept import Kept, Scores


def test_a_score_is_found_once_for_all_commands(tmp_path: Path) -> None:
    decides = tmp_path / "scoring.py"
    decides.write_text("a = 1")
    asked: list[str] = []

    def scores(kept: Kept, weights: str, split: str) -> Scores:
        def score() -> Scores:
            asked.append(f"{weights} {split}")
            return {"db": len(asked) / 10}

        return kept.scores(weights, split, score)

    first, again = Kept(tmp_path, [decides]), Kept(tmp_path, [decides])
    assert scores(first, "ab", "search") == scores(first, "ab", "search") == {"db": 0.1}
    assert scores(first, "ab", "holdout") == {"db": 0.2}
    assert scores(Kept(tmp_path, [decides]), "ab", "holdout") == {"db": 0.2}
    assert scores(again, "cd", "search") == {"db": 0.3}
    decides.write_text("a = 2")
    assert scores(Kept(tmp_path, [decides]), "ab", "search") == {"db": 0.4}
    assert asked == ["ab search", "ab holdout", "cd search", "ab search"]


def test_half_a_line_costs_its_own_score_alone(tmp_path: Path) -> None:
    for weights in ("ab", "cd"):
        Kept(tmp_path, []).scores(weights, "search", lambda: {"db": 0.1})
    (file,) = tmp_path.glob("scores-*.jsonl")
    file.write_text(file.read_text()[:-4])
    asked: list[str] = []

    def again(weights: str) -> Scores:
        def score() -> Scores:
            asked.append(weights)
            return {"db": 0.2}

        return Kept(tmp_path, []).scores(weights, "search", score)

    assert [again("ab"), again("cd"), again("cd")] == [{"db": 0.1}, {"db": 0.2}, {"db": 0.2}]
    assert asked == ["cd"]
