"""Tests with real processes, real clients and real networks.

Every one of them runs against our node and, with `--server redis`, against Debian's redis-server, which proves that
what a test asks for is what Redis does.
"""
