"""What clients saw of a cluster while it was disturbed, and whether a cluster may have answered so. Pure.

A run is recorded as operations with the times of their begin and end; `judge` says what in it cannot be.
"""
