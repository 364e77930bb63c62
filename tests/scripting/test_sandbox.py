"""There is no way out of the sandbox, and none for what one script does to reach the next."""

from __future__ import annotations

import pytest

from tests.commands.in_process import InProcessNode
from tests.scripting.patient import patient_node

UNKNOWN = (
    "io", "debug", "package", "require", "module", "dofile", "loadfile", "getfenv", "setfenv", "newproxy", "python",
    "print", "jit", "arg", "host", "opened", "private",
)  # fmt: skip
READ_ONLY = (
    "x = 1", "_G.x = 1", "rawset(_G, 'x', 1)", "redis.call = nil", "string.x = 1", "table.insert(_G, 1)",
    "table.insert(string, 1)", "setmetatable(_G, {})", "setmetatable(redis, {})", "getmetatable('').__index = nil",
    "getmetatable('').x = 1", "getmetatable(_G).__index = nil", "cjson.encode = 1", "bit.band = nil", "math.pi = 3",
    "KEYS = {}", "coroutine.wrap = nil", "os.clock = nil", "rawset(string, 'len', 1)", "_G._G = 1",
    "loadstring('x = 1')()", "coroutine.wrap(function() x = 1 end)()", "getmetatable('').__index.len = 1",
    "for _, v in pairs(_G) do if type(v) == 'table' then v.x = 1 end end", "local _, t = next(_G, 'redis') _G.x = 1",
)  # fmt: skip
ESCAPES = (
    # What is Python's would show itself as userdata, or by its attributes.
    "for k, v in pairs(_G) do if type(v) == 'userdata' then return k end end return 'none'",
    "for name, value in pairs(redis) do if type(value) == 'userdata' then return name end end return 'none'",
    "for name, value in pairs(bit) do if type(value) == 'userdata' then return name end end return 'none'",
    "return tostring(getmetatable(cjson.null)) == 'nil' and 'none' or 'a metatable'",
    "return pcall(function() return cjson.null.__class__ end) and 'an attribute' or 'none'",
    "return pcall(function() return redis.call.__globals__ end) and 'an attribute' or 'none'",
    "return os.execute == nil and os.exit == nil and os.getenv == nil and os.remove == nil and 'none'",
    # Compiled chunks can do what no source can.
    "return loadstring('\\27Lua') == nil and load(function() return nil end) ~= nil and 'none' or 'bytecode'",
    "local n = 0 return load(function() n = n + 1 return n == 1 and '\\27LuaQ' or nil end) and 'bytecode' or 'none'",
    "return pcall(string.dump, function() end) and 'dumped' or 'none'",
    # The real tables behind what is shown.
    "local n, t = pairs(string) return rawget(t, 'len') == string.len and rawequal(t, string) and 'none' or 'real'",
    "return getmetatable(string) == nil and getmetatable(redis) == nil and 'none' or 'a metatable'",
    "local e = select(2, pcall(function() return nosuch end)) return type(e) == 'string' and 'none' or type(e)",
    "local s = {} for w in string.gmatch('a b', '%a') do s[#s + 1] = w end return #s == 2 and 'none'",
)


@pytest.fixture(scope="module")
def node() -> InProcessNode:
    """One for all: what a script leaves behind, the next would find."""
    return patient_node()


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_lua_has_and_scripts_do_not(node: InProcessNode, name: str) -> None:
    wrong = f"Script attempted to access nonexistent global variable '{name}'"
    assert wrong in node.client.error("EVAL", f"return {name}", 0)
    assert node.client("EVAL", f"return tostring(rawget(_G, '{name}'))", 0) == b"nil"


@pytest.mark.parametrize("script", READ_ONLY)
def test_what_scripts_share_is_read_only(node: InProcessNode, script: str) -> None:
    assert "Attempt to modify a readonly table" in node.client.error("EVAL", script, 0)
    check = "return tostring(rawget(_G, 'x')) .. tostring(string.x) .. type(redis.call) .. ('abc'):len() .. #KEYS"
    assert node.client("EVAL", check, 0) == b"nilnilfunction30"


@pytest.mark.parametrize("script", ESCAPES)
def test_there_is_no_way_out(node: InProcessNode, script: str) -> None:
    assert node.client("EVAL", script, 0) == b"none"


def test_a_chunk_that_was_compiled_elsewhere_is_refused(node: InProcessNode) -> None:
    error = node.client.error("EVAL", b"\x1bLuaQ\0\1\4\10\4\10\0", 0)
    assert "Error compiling script (new function): user_script:1: unexpected symbol near 'char(27)'" in error


def test_memory_has_a_limit_and_comes_back(node: InProcessNode) -> None:
    grow = "local s = 'x' while true do s = s .. s end"
    assert "not enough memory" in node.client.error("EVAL", grow, 0)
    many = "local t = {} for i = 1, 32 do t[i] = ('x'):rep(2^25) .. i end"
    assert "not enough memory" in node.client.error("EVAL", many, 0)
    assert node.client("EVAL", "return 'here'", 0) == b"here"


@pytest.mark.parametrize("made", ["redis.sha1hex(n)", "redis.call('echo', n)"])
def test_what_the_host_makes_counts(node: InProcessNode, made: str) -> None:
    """It is refused while there is room for the refusal: Lua could not raise an error from within the host."""
    script = f"local big, t = ('x'):rep(2^27), {{}} big = big .. 'x' for n = 1, 1e8 do t[n] = {made} .. big end"
    assert "not enough memory" in node.client.error("EVAL", script, 0)
    assert node.client("EVAL", "return 'here'", 0) == b"here"


def test_a_pattern_cannot_use_up_the_stack(node: InProcessNode) -> None:
    for call in ("string.find(s, p)", "s:match(p)", "s:gsub(p, '')", "string.gmatch(s, p)()"):
        script = f"local s, p = ('a'):rep(300000), ('a?'):rep(300000) return {call}"
        assert "pattern too complex" in node.client.error("EVAL", script, 0)


@pytest.mark.parametrize("bounds", ["-2^31, 2^31-1", "0, 2^31-1", "1, 2^31", "1, 1e9", "-2^40, 2^40"])
def test_unpack_has_bounds(node: InProcessNode, bounds: str) -> None:
    assert node.client("EVAL", f"return select('#', pcall(unpack, {{}}, {bounds}))", 0) <= 2


def test_deep_calls_end(node: InProcessNode) -> None:
    assert "stack overflow" in node.client.error("EVAL", "local function f() return 1 + f() end return f()", 0)
    nested = "local t = {} for i = 1, 100000 do t = {t} end "
    assert "excessive nesting" in node.client.error("EVAL", nested + "return cjson.encode(t)", 0)
    assert len(node.client("EVAL", nested + "return cmsgpack.pack(t)", 0)) == 17
    assert node.client.raw("EVAL", nested + "return t", 0).endswith(b"-ERR reached lua stack limit\r\n")
    assert node.client("EVAL", "return 'here'", 0) == b"here"


def test_very_many_arguments_arrive(node: InProcessNode) -> None:
    arguments = [str(number) for number in range(20_000)]
    script = "return {#KEYS, #ARGV, KEYS[1], KEYS[5000], ARGV[1], ARGV[15000]}"
    assert node.client("EVAL", script, 5000, *arguments) == [5000, 15000, b"0", b"4999", b"5000", b"19999"]


def test_scripts_of_many_texts_are_forgotten_in_time(node: InProcessNode) -> None:
    kept = node.client("SCRIPT", "LOAD", "return 'kept'")
    for number in range(1200):
        assert node.client("EVAL", f"return {number}", 0) == number
    assert node.server.scripts.count < 600
    assert node.client("EVALSHA", kept, 0) == b"kept"
    assert node.client("EVAL", "return 0", 0) == 0
