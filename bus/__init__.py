"""The cluster bus: who is there, who owns which slots, who is gone, and who takes over.

`core` is pure: events in, effects out, time and dice as arguments. `transport` is the thin shell with sockets.
Nothing here imports anything of `cluster`.
"""
