-- What scripts call `redis`.

local host, tools = ...
local answering, real_of, decode = tools.answering, tools.real_of, tools.decode
local one_line = tools.one_line
local type, select, error, tostring, tonumber = type, select, error, tostring, tonumber
local sub, find, concat, floor = string.sub, string.find, table.concat, math.floor
local host_call, host_log, host_sha1, host_set = host.call, host.log, host.sha1, host.set

local library = {}

local function refuse(text)
    error({ err = "ERR " .. text }, 0)
end

local NO_ARGUMENT = "ERR Please specify at least one argument for this redis lib call"
local BAD_ARGUMENT = "ERR Lua redis lib command arguments must be strings or integers"

-- What is wrong with the arguments of a command, if anything.
local function wrong(...)
    local count = select("#", ...)
    if count == 0 then
        return NO_ARGUMENT
    elseif count <= 6 then
        local a, b, c, d, e, f = ...
        local kind = type(a)
        if kind ~= "string" and kind ~= "number" then return BAD_ARGUMENT end
        if count == 1 then return nil end
        kind = type(b)
        if kind ~= "string" and kind ~= "number" then return BAD_ARGUMENT end
        if count == 2 then return nil end
        kind = type(c)
        if kind ~= "string" and kind ~= "number" then return BAD_ARGUMENT end
        if count == 3 then return nil end
        kind = type(d)
        if kind ~= "string" and kind ~= "number" then return BAD_ARGUMENT end
        if count == 4 then return nil end
        kind = type(e)
        if kind ~= "string" and kind ~= "number" then return BAD_ARGUMENT end
        if count == 5 then return nil end
        kind = type(f)
        if kind ~= "string" and kind ~= "number" then return BAD_ARGUMENT end
        return nil
    end
    local all = { ... }
    for i = 1, count do
        local kind = type(all[i])
        if kind ~= "string" and kind ~= "number" then
            return BAD_ARGUMENT
        end
    end
    return nil
end

local function shaped(raises, value, kind, ...)
    if kind == nil then
        return value
    elseif kind == 1 then
        return { ok = (...) }
    elseif kind == 3 then
        return { ... }
    elseif kind == 4 then
        return (decode((...), 1))
    elseif kind == 9 then
        error("not enough memory", 0)
    end
    local failure = { err = (...), ignore_error_stats_update = kind == 2 or nil }
    if raises then
        error(failure, 0)
    end
    return failure
end

function library.call(...)
    local bad = wrong(...)
    if bad then
        error({ err = bad }, 0)
    end
    return shaped(true, host_call(...))
end

function library.pcall(...)
    local bad = wrong(...)
    if bad then
        return { err = bad }
    end
    return shaped(false, host_call(...))
end

function library.acl_check_cmd(...)
    local bad = wrong(...)
    if bad then
        error({ err = bad }, 0)
    end
    local may = host.may(...)
    if may == nil then
        refuse("Invalid command passed to redis.acl_check_cmd()")
    end
    return may
end

local function text_of(...)
    local text = ...
    if select("#", ...) ~= 1 or type(text) ~= "string" then
        return nil
    end
    return text
end

function library.error_reply(...)
    local text = text_of(...)
    if not text then
        return { err = "ERR wrong number or type of arguments" }
    end
    text = one_line(text)
    if sub(text, 1, 1) == "-" then
        text = sub(text, 2)
    end
    if not find(text, " ", 1, true) then
        text = "ERR " .. text
    end
    return { err = text }
end

function library.status_reply(...)
    local text = text_of(...)
    if not text then
        return { err = "ERR wrong number or type of arguments" }
    end
    return { ok = text }
end

function library.sha1hex(...)
    if select("#", ...) ~= 1 then
        refuse("wrong number of arguments")
    end
    local text = ...
    if type(text) == "number" then
        text = tostring(text)
    elseif type(text) ~= "string" then
        text = ""
    end
    return host_sha1(text)
end

function library.log(...)
    if select("#", ...) < 2 then
        refuse("redis.log() requires two arguments or more.")
    end
    local parts = { ... }
    local level = parts[1]
    if type(level) ~= "number" then
        refuse("First argument must be a number (log level).")
    elseif level < 0 or level > 3 then
        refuse("Invalid log level.")
    end
    local shown = {}
    for i = 2, select("#", ...) do
        local part = parts[i]
        if type(part) == "string" or type(part) == "number" then
            shown[#shown + 1] = tostring(part)
        end
    end
    host_log(floor(level), concat(shown, " "))
end

function library.setresp(...)
    if select("#", ...) ~= 1 then
        refuse("redis.setresp() requires one argument.")
    end
    local version = tonumber((...))
    if version ~= 2 and version ~= 3 then
        refuse("RESP version must be 2 or 3.")
    end
    answering.script_resp = version
    host_set("resp", version)
end

function library.set_repl(...)
    if select("#", ...) ~= 1 then
        refuse("redis.set_repl() requires one argument.")
    end
    local flags = floor(tonumber((...)) or 0)
    if flags < 0 or flags > 3 then
        refuse("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
    end
    host_set("repl", flags)
end

function library.replicate_commands()
    return true
end

function library.breakpoint()
    return false
end

function library.debug()
end

library.LOG_DEBUG, library.LOG_VERBOSE, library.LOG_NOTICE, library.LOG_WARNING = 0, 1, 2, 3
library.REPL_NONE, library.REPL_AOF, library.REPL_SLAVE, library.REPL_REPLICA, library.REPL_ALL = 0, 1, 2, 2, 3
library.REDIS_VERSION, library.REDIS_VERSION_NUM = host.version, host.version_number

return library
