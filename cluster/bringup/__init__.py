"""Starting a whole cluster from cluster.yaml: what scripts/bring-up runs.

It uses the nodes as anyone could: a process each, and their own commands over RESP. No node imports it.
"""
