"""Hostile input for everything that reads what others wrote: it is taken or refused, and nothing else happens.

`targets` are the readers, each a function from bytes to 'taken' or 'refused'; whatever else it raises is a fault.
`run` feeds them broken ones of real inputs, made by a seed; `guided` has atheris look for inputs that reach new code.
"""
