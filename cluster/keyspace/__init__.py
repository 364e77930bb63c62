"""Databases, value types, expiry and eviction; nothing here does I/O."""
