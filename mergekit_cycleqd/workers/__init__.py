"""Workers, which evaluate genomes: this process, processes of this machine, a Ray cluster.

`pool.py` has the interface that a run sees, and `worker.py` what every worker does.
"""
