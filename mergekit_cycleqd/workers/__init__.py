"""Who evaluates: this process, processes of this machine, a Ray cluster."""
