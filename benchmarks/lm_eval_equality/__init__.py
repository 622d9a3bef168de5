"""One score, whoever computes it: lm-eval's own command, `eval` of a model, of a run, a search.

`models.py` trains a tiny chat model, `forms.py` writes tasks of every kind (`generated.py`,
`given.py`), `settings.py` has the settings that they are compared under, and `ways.py` the ways to
a score. Run all of it:

    python -m benchmarks.lm_eval_equality
"""
