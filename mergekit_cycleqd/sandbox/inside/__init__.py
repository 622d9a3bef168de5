"""The agent: the first process of a box, which runs in the python of the box (3.9 or later).

It starts commands, watches their time and reports. The modules here import only the standard
library and each other. As process 1 the agent survives `kill -9 -1` and `kill -9 1`. Commands
cannot trace it, and are killed before it if memory runs out.
"""
