"""The command table: one module for each group of commands."""
