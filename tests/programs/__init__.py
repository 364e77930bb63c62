"""Programs that people run on Redis, with their own packages, each doing a short honest job on the node.

The tests run against our node and, with `--server redis`, against redis-server.
"""
