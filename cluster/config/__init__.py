"""Configuration: one table of directives, and what reads, changes and writes values by it."""
