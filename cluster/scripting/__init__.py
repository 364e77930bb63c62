"""Scripts: Lua 5.1 in a sandbox, what it may call, and how a slow one leaves the node alive."""
