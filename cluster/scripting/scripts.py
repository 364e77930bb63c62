"""Scripts as clients know them: sent with EVAL or by their SHA-1, and kept in a cache."""

from __future__ import annotations

from cluster.errors import CommandError
from cluster.scripting.runner import Runner
from cluster.scripting.sandbox import digest
from cluster.scripting.script import Script, parse_shebang

NOSCRIPT = "NOSCRIPT No matching script. Please use EVAL."
EVALUATED_LIMIT = 500
"""So many scripts that came with EVAL are remembered, as in Redis 7.4: programs that write their arguments into the
text would fill the memory."""
SHA_LENGTH = 40
SCRIPT_BYTES = 64
"""What the cache takes for a script beside its text."""


class Scripts:
    """`runner` runs them."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._by_sha: dict[bytes, Script] = {}
        self._by_source: dict[bytes, Script] = {}
        self._evaluated: dict[Script, None] = {}  # not by SCRIPT LOAD; what was used last is the last

    def load(self, source: bytes, *, kept: bool = False) -> Script:
        """The script of this text, compiled when it is new. One that is not `kept` may be forgotten when there are too
        many. Raises CommandError."""
        script = self._by_source.get(source)
        if script is None:
            flags, code = parse_shebang(source)
            script = Script(digest(source), source, flags)
            self.runner.sandbox.load(script.sha, code)
            self._by_sha[script.sha] = self._by_source[source] = script
            if not kept:
                self._evaluated[script] = None
                self._forget_some()
        elif self._evaluated:
            self._used(script, kept)
        return script

    def find(self, sha: bytes) -> Script:
        script = self._by_sha.get(sha) or self._by_sha.get(sha.lower())
        if script is None:
            raise CommandError(NOSCRIPT)
        self._used(script, False)
        return script

    def _used(self, script: Script, kept: bool) -> None:
        """`script` is now the one that was used last, or one that stays."""
        if script in self._evaluated and (kept or len(self._evaluated) > EVALUATED_LIMIT // 2):
            del self._evaluated[script]
            if not kept:
                self._evaluated[script] = None

    def _forget_some(self) -> None:
        while len(self._evaluated) > EVALUATED_LIMIT:
            oldest = next(iter(self._evaluated))
            del self._evaluated[oldest], self._by_sha[oldest.sha], self._by_source[oldest.source]
            self.runner.sandbox.forget(oldest.sha)

    def flags_of(self, source: bytes) -> frozenset[str] | None:
        """What a script says of itself: None for one of the old kind, or one that cannot be."""
        script = self._by_source.get(source)
        if script is not None:
            return script.flags
        try:
            return parse_shebang(source)[0]
        except CommandError:
            return None

    def flags_by_sha(self, sha: bytes) -> frozenset[str] | None:
        script = self._by_sha.get(sha) or self._by_sha.get(sha.lower())
        return None if script is None else script.flags

    def has(self, sha: bytes) -> bool:
        return sha.lower() in self._by_sha

    def flush(self) -> None:
        """Forget all scripts, and begin a new Lua state with the next."""
        self._by_sha.clear()
        self._by_source.clear()
        self._evaluated.clear()
        self.runner.forget_all()

    @property
    def count(self) -> int:
        return len(self._by_sha)

    @property
    def cached_bytes(self) -> int:
        return sum(len(script.source) + SHA_LENGTH + SCRIPT_BYTES for script in self._by_sha.values())
