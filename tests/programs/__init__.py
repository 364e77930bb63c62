"""Programs that people run on Redis, with their own packages, each doing a short honest job on the node.

The tests run against our node and, with `--server redis`, against redis-server. What needs a part that is still
missing here is listed all the same, as a real attempt that is expected to fail (`waits_for`): the day it works the test
says so.
"""
