"""The version of this project, and the version of Redis whose behaviour it has (what INFO and HELLO report)."""

VERSION = "0.1.0"
REDIS_VERSION = "7.2.4"
