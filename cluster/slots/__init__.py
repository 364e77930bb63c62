"""Which node serves a key, and what to answer when it is another."""
