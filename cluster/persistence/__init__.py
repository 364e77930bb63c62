"""RDB and AOF: objects to bytes and back, and the files they live in."""
