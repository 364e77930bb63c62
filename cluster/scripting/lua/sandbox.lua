-- The sandbox that scripts run in: what they see, what they may change, how they are run.
--
-- The host hands over its functions (none of them reaches a script but inside a closure of this file), and is given
-- back the table of entry points at the end. Nothing but strings and numbers crosses between here and the host, and
-- no error does: a host function says by its values that something is wrong.
--
-- What scripts share is read-only to them. Lua 5.1 has no read-only tables, so a script sees an empty table that
-- looks through to the real one ('front'), and the functions that would look past its metatable know fronts.

local host = ...  -- a table of the host's functions

-- What Lua opened is taken away from everybody but this file and the libraries beside it.
local opened, private = _G, {}
for name, value in pairs(_G) do
    private[name] = value
end
setfenv(1, private)

local host_tick, host_take, host_random, host_seed, host_clock = host.tick, host.take, host.random, host.seed, host.clock

local type, select, error, tostring, tonumber, ipairs = type, select, error, tostring, tonumber, ipairs
local raw_next, raw_rawget, raw_rawset, raw_setmetatable, raw_getmetatable, raw_pcall, raw_xpcall, raw_loadstring,
    raw_unpack = next, rawget, rawset, setmetatable, getmetatable, pcall, xpcall, loadstring, unpack
local setfenv, newproxy = setfenv, newproxy
local string, table, math, coroutine, debug = string, table, math, coroutine, debug
local format, byte, sub, find, gsub, rep, concat = string.format, string.byte, string.sub, string.find, string.gsub,
    string.rep, table.concat
local floor, char, string_dump = math.floor, string.char, string.dump
local sethook, getinfo = debug.sethook, debug.getinfo
local create, resume = coroutine.create, coroutine.resume

local READONLY = "Attempt to modify a readonly table"
-- Kept here: Lua's compiler does not hold on to the name it is given.
local NAME, FUNCTION_NAME = "@user_script", "@user_function"
local INSTRUCTIONS_PER_TICK = 10000
local PATTERN_BYTES = 10000  -- the matcher calls itself for each item of a pattern, on the process's own stack
local UNPACKED = 8000
local BYTES_UNNOTICED = 1000000

-- Fronts -------------------------------------------------------------------------------------------------------------

local real_of = raw_setmetatable({}, { __mode = "k" })  -- front → what it shows

local function refuse()
    error(READONLY, 2)
end

local function front(real)
    local shown = raw_setmetatable({}, { __index = real, __newindex = refuse })
    real_of[shown] = real
    return shown
end

local function type_name(...)
    return select("#", ...) == 0 and "no value" or type((...))
end

local function expect_table(name, level, ...)
    if type((...)) ~= "table" then
        error(format("bad argument #1 to '%s' (table expected, got %s)", name, type_name(...)), level + 1)
    end
end

local base = {
    _VERSION = _VERSION, assert = assert, error = error, gcinfo = gcinfo, ipairs = ipairs, rawequal = rawequal,
    select = select, tonumber = tonumber, tostring = tostring, type = type, collectgarbage = collectgarbage,
}
local globals = front(base)
base._G = globals
raw_setmetatable(base, {
    __index = function(_, name)
        error(format("Script attempted to access nonexistent global variable '%s'", tostring(name)), 2)
    end,
})

function base.next(...)
    expect_table("next", 2, ...)
    local from, key = ...
    return raw_next(real_of[from] or from, key)
end

function base.pairs(...)
    expect_table("pairs", 2, ...)
    local from = ...
    local real = real_of[from]
    if not real then
        return raw_next, from, nil
    end
    return function(_, key)
        return raw_next(real, key)
    end, from, nil
end

function base.rawget(...)
    expect_table("rawget", 2, ...)
    local from, key = ...
    return raw_rawget(real_of[from] or from, key)
end

function base.rawset(...)
    expect_table("rawset", 2, ...)
    local to, key, value = ...
    if real_of[to] then
        error(READONLY, 0)
    elseif key == nil or key ~= key then
        error(key == nil and "table index is nil" or "table index is NaN", 2)
    end
    return raw_rawset(to, key, value)
end

function base.setmetatable(...)
    expect_table("setmetatable", 2, ...)
    local to, metatable = ...
    if real_of[to] then
        error(READONLY, 0)
    elseif metatable ~= nil and type(metatable) ~= "table" then
        error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
    end
    return raw_setmetatable(to, metatable)
end

local string_metatable
local globals_metatable = front({})

function base.getmetatable(of, ...)
    if type(of) == "string" then
        return string_metatable
    elseif real_of[of] then
        return of == globals and globals_metatable or nil
    end
    return raw_getmetatable(of)
end

local is_ended = false  -- the script is to end, and everything in it fails

-- Errors -------------------------------------------------------------------------------------------------------------

local function returned(ok, ...)
    if ok then
        return true, ...
    end
    local what = ...
    if type(what) == "table" and not real_of[what] then
        local text = raw_rawget(what, "err")
        if text ~= nil then
            what = text
        end
    end
    return false, what
end

function base.pcall(...)
    if select("#", ...) == 0 then
        return returned(raw_pcall(nil))
    end
    return returned(raw_pcall(...))
end

function base.xpcall(...)
    if select("#", ...) < 2 then
        error("bad argument #2 to 'xpcall' (value expected)", 2)
    end
    local body, handler = ...
    return raw_xpcall(body, function(what)  -- which no tick interrupts
        if is_ended then
            return what
        end
        return handler(what)
    end)
end

-- Where an error came from: the innermost function that a user wrote.
local function place()
    local level = 3
    while true do
        local info = getinfo(level, "Sl")
        if not info then
            return "", 0
        end
        if info.what ~= "C" and info.what ~= "tail" and info.source ~= "=sandbox" then
            return info.source, info.currentline
        end
        level = level + 1
    end
end

local last = {}  -- of the error that ended the script: text, source, line, whether it was counted

local function handle(what)
    local text, counted
    if type(what) == "table" and not real_of[what] then
        text, counted = raw_rawget(what, "err"), raw_rawget(what, "ignore_error_stats_update")
        if type(text) == "number" then
            text = tostring(text)
        elseif type(text) ~= "string" then
            text = "ERR unknown error"
        end
    else
        text = "ERR " .. tostring(what)
    end
    local source, line = place()
    last[1], last[2], last[3], last[4] = text, source, line, counted and 1 or 0
    return text
end

base.__redis__err__handler = function(what)
    if type(what) == "table" then
        return what
    end
    return { err = "ERR " .. tostring(what) }
end

-- Chunks -------------------------------------------------------------------------------------------------------------

-- Only source is compiled, never what string.dump makes. `name` must be held by the caller while this runs.
local function compile(source, name)
    if byte(source) == 27 then
        local _, wrong = raw_loadstring("\1" .. sub(source, 2), name)
        return nil, (gsub(tostring(wrong), "char%(1%)", "char(27)"))
    end
    local chunk, wrong = raw_loadstring(source, name)
    if chunk then
        setfenv(chunk, globals)
    end
    return chunk, wrong
end

local without_tail_calls  -- of tail_calls.lua

-- A chunk to be run, called `name`; or nil, and what is wrong with it.
local function compile_body(source, name)
    local chunk, wrong = compile(source, name)
    if not chunk then
        return nil, wrong
    end
    local patched = without_tail_calls(string_dump(chunk))
    return patched and setfenv(raw_loadstring(patched, name), globals) or chunk
end

function base.loadstring(...)
    local source, name = ...
    if type(source) == "number" then
        source = tostring(source)
    elseif type(source) ~= "string" then
        error(format("bad argument #1 to 'loadstring' (string expected, got %s)", type_name(...)), 2)
    end
    if name ~= nil and type(name) ~= "string" then
        name = tostring(name)
    end
    local zero = find(source, "\0", 1, true)
    name = name or (zero and sub(source, 1, zero - 1)) or source
    return compile(source, name)
end

function base.load(...)
    local read, name = ...
    if type(read) ~= "function" then
        error(format("bad argument #1 to 'load' (function expected, got %s)", type_name(...)), 2)
    end
    local parts = {}
    while true do
        local part = read()
        if part == nil or part == "" then
            break
        elseif type(part) ~= "string" then
            return nil, "reader function must return a string"
        end
        parts[#parts + 1] = part
    end
    name = name == nil and "=(load)" or tostring(name)
    return compile(concat(parts), name)
end

function base.unpack(...)
    expect_table("unpack", 2, ...)
    local from, first, final = ...
    if first ~= nil or final ~= nil then
        local i, j = tonumber(first or 1), tonumber(final or #from)
        if not i or not j then
            error(format("bad argument #%d to 'unpack' (number expected)", i and 3 or 2), 2)
        elseif i < -2147483648 or j > 2147483647 then
            i, j = 1, 0  -- what C makes of it
        end
        if j - i >= UNPACKED then
            error("too many results to unpack", 2)
        end
        return raw_unpack(from, i, j)
    elseif #from >= UNPACKED then
        error("too many results to unpack", 2)
    end
    return raw_unpack(from)
end

-- Time ---------------------------------------------------------------------------------------------------------------

local KILLED = "ERR Script killed by user with SCRIPT KILL..."
local ending = KILLED  -- what a script is told that is to end

local tick
tick = function()
    if host_tick() then
        is_ended = true
        sethook(tick, "", 1)  -- so that no pcall can go on: its next instruction fails again, and that of who called it
        error({ err = ending }, 0)
    end
end

local function with_hook(thread)
    sethook(thread, tick, "", INSTRUCTIONS_PER_TICK)
    return thread
end

-- Libraries of Lua ---------------------------------------------------------------------------------------------------

local function copy(from, names)
    local to = {}
    for name in names:gmatch("%S+") do
        to[name] = from[name]
    end
    return to
end

local libraries = {
    string = string,
    table = copy(table, "concat foreach foreachi getn insert maxn remove setn sort"),
    math = copy(math, "abs acos asin atan2 atan ceil cos cosh deg exp floor fmod frexp huge ldexp log10 log max min "
        .. "mod modf pi pow rad sin sinh sqrt tan tanh"),
    coroutine = copy(coroutine, "create resume running status wrap yield"),
    os = { clock = function() return host_clock() end },
}

for _, name in ipairs({ "find", "match", "gmatch", "gsub" }) do
    local matched = string[name]
    string[name] = function(text, pattern, ...)
        if type(pattern) == "string" and #pattern > PATTERN_BYTES then
            error("pattern too complex", 2)
        end
        return matched(text, pattern, ...)
    end
end
string.gfind = string.gmatch
local raw_rep = string.rep
function string.rep(...)
    local text, count = ...
    if type(text) == "string" and type(count) == "number" and #text * count > BYTES_UNNOTICED then
        tick()  -- so long a copy is worth as much as many instructions
    elseif type(text) ~= "string" and type(text) ~= "number" then
        error(format("bad argument #1 to 'rep' (string expected, got %s)", type_name(...)), 2)
    elseif not tonumber(count) then
        error(format("bad argument #2 to 'rep' (number expected, got %s)", type_name(select(2, ...))), 2)
    end
    return raw_rep(text, count)
end
string.dump = function()
    error("unable to dump given function", 2)
end

local raw_insert = table.insert
function libraries.table.insert(to, ...)
    if real_of[to] then
        error(READONLY, 0)
    end
    return raw_insert(to, ...)
end

function libraries.math.random(...)
    local share = host_random()
    local count = select("#", ...)
    if count == 0 then
        return share
    end
    local low, high = ...
    if count == 1 then
        low, high = 1, low
    elseif count > 2 then
        error("wrong number of arguments", 2)
    end
    low, high = tonumber(low), tonumber(high)
    if not low or not high then
        error("bad argument #1 to 'random' (number expected)", 2)
    elseif low > high then
        error(format("bad argument #%d to 'random' (interval is empty)", count), 2)
    end
    return floor(share * (floor(high) - floor(low) + 1)) + floor(low)
end

function libraries.math.randomseed(seed)
    local number = tonumber(seed)
    if not number then
        error(format("bad argument #1 to 'randomseed' (number expected, got %s)", type_name(seed)), 2)
    end
    host_seed(number)
end

function libraries.coroutine.create(...)
    local body = ...
    if type(body) ~= "function" then
        error("bad argument #1 to 'create' (Lua function expected)", 2)
    end
    return with_hook(create(body))
end

local function resumed(ok, ...)
    if ok then
        return ...
    end
    local what = ...
    if type(what) == "string" then
        local info = getinfo(3, "Sl")
        if info and info.currentline > 0 then
            what = format("%s:%d: %s", info.short_src, info.currentline, what)
        end
    end
    error(what, 0)
end

function libraries.coroutine.wrap(...)
    local body = ...
    if type(body) ~= "function" then
        error("bad argument #1 to 'wrap' (Lua function expected)", 2)
    end
    local thread = with_hook(create(body))
    return function(...)
        return resumed(resume(thread, ...))
    end
end

-- More libraries ----------------------------------------------------------------------------------------------------

-- Functions of the host answer nothing where Lua's memory is about to end.
for _, name in ipairs({ "sha1", "double", "bit", "pack" }) do
    local answer = host[name]
    host[name] = function(...)
        local value = answer(...)
        if value == nil then
            error("not enough memory", 0)
        end
        return value
    end
end

local answering = {}  -- resp: of the client that is answered; script_resp: what redis.setresp has set
local tools = {
    newproxy = newproxy, real_of = real_of, type_name = type_name, answering = answering, libraries = libraries,
    front = front, base = base,
}

local sandbox = {}

-- One more library, made by the chunk `source`: it is given the host's functions and returns a table, or nothing.
function sandbox.add(name, source)
    libraries[name] = setfenv(assert(raw_loadstring(source, "=sandbox")), private)(host, tools)
end

local encode, registered

-- All libraries are there: show them, and take away what Lua opened for itself.
function sandbox.seal()
    encode, without_tail_calls, registered = tools.encode, tools.without_tail_calls, tools.registered
    for name, library in raw_next, libraries do
        base[name] = front(library)
    end
    string_metatable = front({ __index = base.string })
    for name in raw_next, private do
        opened[name] = nil
    end
    return sethook, tick, INSTRUCTIONS_PER_TICK
end

-- Scripts ------------------------------------------------------------------------------------------------------------

local bodies = {}  -- of scripts by their SHA-1, of functions by their number

-- nil, or what is wrong with it.
function sandbox.load(sha, source)
    local chunk, wrong = compile_body(source, NAME)
    bodies[sha] = chunk
    return wrong
end

function sandbox.forget(which)
    bodies[which] = nil
end

local function taken(count)
    local list = {}
    local at = 0
    while at < count do
        local part = { host_take(count - at) }
        for i = 1, #part do
            list[at + i] = part[i]
        end
        at = at + #part
    end
    return list
end

local function outcome(ok, value)
    if not ok then
        if value == "not enough memory" then
            return 5, "ERR not enough memory", "", 0, 0
        elseif type(value) == "string" and last[1] ~= value then  -- the handler itself has failed
            return 5, "ERR " .. value, "", 0, 0
        end
        return 5, last[1], last[2], last[3], last[4]
    end
    local kind = type(value)
    if kind == "string" then
        return 0, value
    elseif kind == "number" then
        return 1, value
    elseif kind == "nil" then
        return 2
    elseif kind == "boolean" then
        return 3, value, answering.script_resp
    elseif kind == "table" then
        return 4, value
    end
    return 2
end

local function finished(kind, value, ...)
    if kind ~= 4 then
        return kind, value, ...
    end
    local ok, reply, wrong = raw_xpcall(function() return encode(value) end, handle)
    if not ok then
        return outcome(false, reply)
    end
    return 6, reply, wrong
end

-- What ended the script that the host took away from under everything.
function sandbox.last_error()
    return 5, last[1], last[2], last[3], last[4]
end

-- Run a script, or a function, which gets its keys and arguments as such. `resp`: of the client it answers. What follows
-- are the keys and then the arguments; where `feeds` is true they are so many that they come by `host_take`, `given` in
-- number.
-- (0, string) (1, number) (2) nil (3, boolean) (6, RESP, error text or nil) or (5, error, source, line, counted)
function sandbox.run(which, resp, keys, feeds, given, ...)
    is_ended = false
    answering.resp, answering.script_resp = resp, 2
    local first, second
    if feeds then
        first, second = taken(keys), taken(given - keys)
    elseif keys == 0 then
        first, second = {}, { ... }
    elseif keys == 1 then
        first, second = { (...) }, { select(2, ...) }
    else
        local all = { ... }
        first, second = { raw_unpack(all, 1, keys) }, { raw_unpack(all, keys + 1, given) }
    end
    local body = bodies[which]
    if registered then
        return finished(outcome(raw_xpcall(function() return body(first, second) end, handle)))
    end
    base.KEYS, base.ARGV = first, second
    return finished(outcome(raw_xpcall(body, handle)))
end

-- Run the code of a library, which registers its functions, the first of them with the number `first`: the host is told
-- each. nil, or what is wrong with it.
function sandbox.load_library(code, first)
    is_ended = false
    local chunk, wrong = compile_body(code, FUNCTION_NAME)
    if not chunk then
        return "Error compiling function: " .. wrong
    end
    local shape = raw_getmetatable(globals)
    shape.__index, ending = registered.begin(bodies, first), "ERR FUNCTION LOAD timeout"
    local ok, text = raw_xpcall(chunk, handle)
    return sandbox.loaded(ok, text)
end

-- The library's code is through, or what it did was taken away from under everything.
function sandbox.loaded(ok, text)
    raw_getmetatable(globals).__index, ending = base, KILLED
    registered.finish()
    if ok then
        return nil
    elseif text ~= last[1] and text ~= nil then  -- the handler itself has failed, or there is no memory
        return "Error registering functions: ERR " .. tostring(text)
    end
    return "Error registering functions: " .. last[1]
end

return sandbox
