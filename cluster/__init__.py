"""A Redis Cluster node: commands, keyspace, slots, replication, persistence and the client side of the network."""
