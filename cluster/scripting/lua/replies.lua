-- Replies of commands as Lua values, and what a script returns as a reply. Tables are read raw.

local host, tools = ...
local answering, real_of = tools.answering, tools.real_of
local type, tonumber, next, rawget = type, tonumber, next, rawget
local byte, sub, find, format, gsub, concat = string.byte, string.sub, string.find, string.format, string.gsub,
    table.concat
local format_double = host.double

local MOST_NESTED = 1000  -- what is deeper, no client would read
local TOO_DEEP = "-ERR reached lua stack limit\r\n"

-- RESP at `at` → its value, and where the next begins.
local function decode(resp, at)
    local stop = find(resp, "\r\n", at, true)
    local kind, line = byte(resp, at), sub(resp, at + 1, stop - 1)
    local after = stop + 2
    if kind == 36 then  -- $
        local size = tonumber(line)
        if size < 0 then
            return false, after
        end
        return sub(resp, after, after + size - 1), after + size + 2
    elseif kind == 58 then  -- :
        return tonumber(line), after
    elseif kind == 42 or kind == 62 then  -- * >
        local size = tonumber(line)
        if size < 0 then
            return false, after
        end
        local list = {}
        for i = 1, size do
            list[i], after = decode(resp, after)
        end
        return list, after
    elseif kind == 43 then  -- +
        return { ok = line }, after
    elseif kind == 45 then  -- -
        return { err = line }, after
    elseif kind == 95 then  -- _
        return nil, after
    elseif kind == 35 then  -- #
        return line == "t", after
    elseif kind == 44 then  -- ,
        return { double = tonumber(line) or (line == "inf" and 1 / 0) or (line == "-inf" and -1 / 0) or 0 / 0 }, after
    elseif kind == 40 then  -- (
        return { big_number = line }, after
    elseif kind == 61 then  -- =
        local size = tonumber(line)
        local shown = { format = sub(resp, after, after + 2), string = sub(resp, after + 4, after + size - 1) }
        return { verbatim_string = shown }, after + size + 2
    end
    local entries = {}
    for _ = 1, tonumber(line) do
        local key, value
        key, after = decode(resp, after)
        if kind == 126 then  -- ~
            value = true
        else  -- %
            value, after = decode(resp, after)
        end
        if key ~= nil then
            entries[key] = value
        end
    end
    return kind == 126 and { set = entries } or { map = entries }, after
end

-- Text of an error or a status: it ends at a NUL, as C's strings do, and has no line breaks.
local function one_line(text)
    if find(text, "[%z\r\n]") then
        return (gsub(gsub(text, "%z.*", ""), "[\r\n]", " "))
    end
    return text
end

local function bulk(parts, text)
    local n = #parts
    parts[n + 1] = "$" .. #text .. "\r\n"
    parts[n + 2] = text
    parts[n + 3] = "\r\n"
end

local function header(parts, mark, count)
    parts[#parts + 1] = mark .. count .. "\r\n"
end

local add

local function add_entries(parts, entries, depth, mark, both)
    entries = real_of[entries] or entries
    local count = 0
    for _ in next, entries do
        count = count + 1
    end
    if answering.resp >= 3 then
        header(parts, mark, count)
    else
        header(parts, "*", both and 2 * count or count)
    end
    for key, value in next, entries do
        add(parts, key, depth)
        if both then
            add(parts, value, depth)
        end
    end
end

local function add_list(parts, value, depth)
    local at = #parts + 1
    parts[at] = ""
    local count = 0
    while true do
        local item = rawget(value, count + 1)
        if item == nil then
            break
        end
        count = count + 1
        add(parts, item, depth)
    end
    parts[at] = "*" .. count .. "\r\n"
end

-- The error's text when it is one.
local function add_table(parts, value, depth)
    value = real_of[value] or value
    local found = rawget(value, "err")
    if type(found) == "string" then
        found = one_line(found)
        parts[#parts + 1] = "-" .. found .. "\r\n"
        return rawget(value, "ignore_error_stats_update") == nil and found or nil
    end
    found = rawget(value, "ok")
    if type(found) == "string" then
        parts[#parts + 1] = "+" .. one_line(found) .. "\r\n"
        return nil
    end
    found = rawget(value, "double")
    if type(found) == "number" then
        if answering.resp >= 3 then
            parts[#parts + 1] = "," .. format_double(found) .. "\r\n"
        else
            bulk(parts, format_double(found))
        end
        return nil
    end
    found = rawget(value, "map")
    if type(found) == "table" then
        return add_entries(parts, found, depth, "%", true)
    end
    found = rawget(value, "set")
    if type(found) == "table" then
        return add_entries(parts, found, depth, "~", false)
    end
    found = rawget(value, "big_number")
    if type(found) == "string" then
        found = gsub(found, "[\r\n]", " ")
        if answering.resp >= 3 then
            parts[#parts + 1] = "(" .. found .. "\r\n"
        else
            bulk(parts, found)
        end
        return nil
    end
    found = rawget(value, "verbatim_string")
    if type(found) == "table" then
        local kind, text = rawget(found, "format"), rawget(found, "string")
        if type(kind) == "string" and type(text) == "string" then
            if answering.resp >= 3 then
                kind = sub(kind .. "   ", 1, 3)
                parts[#parts + 1] = "=" .. (#text + 4) .. "\r\n" .. kind .. ":"
                parts[#parts + 1] = text
                parts[#parts + 1] = "\r\n"
            else
                bulk(parts, text)
            end
            return nil
        end
    end
    return add_list(parts, value, depth)
end

add = function(parts, value, depth)
    local kind = type(value)
    if kind == "string" then
        bulk(parts, value)
    elseif kind == "number" then
        parts[#parts + 1] = format(":%d\r\n", value)
    elseif kind == "boolean" then
        if answering.script_resp >= 3 then
            if answering.resp >= 3 then
                parts[#parts + 1] = value and "#t\r\n" or "#f\r\n"
            else
                parts[#parts + 1] = value and ":1\r\n" or ":0\r\n"
            end
        elseif value then
            parts[#parts + 1] = ":1\r\n"
        else
            parts[#parts + 1] = answering.resp >= 3 and "_\r\n" or "$-1\r\n"
        end
    elseif kind ~= "table" then
        parts[#parts + 1] = answering.resp >= 3 and "_\r\n" or "$-1\r\n"
    elseif depth >= MOST_NESTED then
        parts[#parts + 1] = TOO_DEEP
    else
        return add_table(parts, value, depth + 1)
    end
    return nil
end

function tools.encode(value)
    local parts = {}
    local wrong = add(parts, value, 0)
    return concat(parts), wrong
end

tools.decode = decode
tools.one_line = one_line
