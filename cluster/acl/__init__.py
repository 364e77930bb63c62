"""Access control lists, without any I/O: rules, users made of them, and what a user may do.

A user is a value: a rule makes another user of one. So a session holds the user it has logged in as, and what it costs
to ask is one look into a set for the command, and the compiled patterns for its keys.
"""
