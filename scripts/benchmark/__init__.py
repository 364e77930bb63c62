"""scripts/bench: this node beside redis-server, in one run, each measured in the same way.

Figures of two machines, or of one machine on two days, do not compare: so both servers run here and now, in turn,
and what counts is the ratio of their medians.
"""
