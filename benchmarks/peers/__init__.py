"""mergekit-evolve and mergenetic beside this package: same models, tasks, samples, evaluations.

    python recipes/quickstart/make_models.py                  # once: trains the models
    python -m benchmarks.peers                                # runs what is missing, and the table
    python -m benchmarks.peers --only mergenetic --seeds 0    # one tool, one seed

Each tool runs in an environment of its own, which the first call makes with pip. Its repairs are in
`mended_evolve.py` and `mended_mergenetic.py`, which say what was mended and why.
"""
