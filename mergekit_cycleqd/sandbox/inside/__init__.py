"""What runs in a box as its first process, by the box's own python (3.9 or later).

It starts the commands, watches their time and reports. Nothing here may import anything but the
standard library and its neighbours. As process 1 it outlives `kill -9 -1` and `kill -9 1`; commands
cannot trace it, and go before it where memory is short.
"""
