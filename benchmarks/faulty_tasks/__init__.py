"""Tasks that break in every place and manner: `plan`, `eval` and a run say so in one line.

    python -m benchmarks.faulty_tasks

`tests/support/faulty_tasks.py` has more than 100 of them, `more.py` has others. Each is tried in a
recipe beside two sound tasks, and on one model. The table names what is not one line.
"""
