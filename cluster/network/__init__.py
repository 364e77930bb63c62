"""The only code of the node that touches client sockets."""
