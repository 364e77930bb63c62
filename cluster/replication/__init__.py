"""PSYNC on both sides, and the backlog that makes it partial."""
