-- MessagePack, with the behaviour of lua-cmsgpack 0.4.

local host, tools = ...
local type, tonumber, tostring, error, select, next, rawget, unpack = type, tonumber, tostring, error, select, next,
    rawget, unpack
local pcall = pcall
local byte, char, sub, format, concat, floor = string.byte, string.char, string.sub, string.format, table.concat,
    math.floor
local real_of, type_name = tools.real_of, tools.type_name
local pack, host_unpack = host.pack, host.unpack

local MOST_NESTED = 16  -- what lies deeper is packed as nil

local library = {}

local function big(count, bytes)
    if bytes == 1 then
        return char(count)
    elseif bytes == 2 then
        return char(floor(count / 256), count % 256)
    end
    return char(floor(count / 16777216), floor(count / 65536) % 256, floor(count / 256) % 256, count % 256)
end

-- Packing ------------------------------------------------------------------------------------------------------------

local function number_bytes(value)
    if floor(value) ~= value or value >= 2 ^ 63 or value < -2 ^ 63 then
        local single = pack(">f", value)
        if host_unpack(">f", single) == value then
            return "\202" .. single
        end
        return "\203" .. pack(">d", value)
    elseif value >= 0 then
        if value <= 127 then
            return char(value)
        elseif value <= 0xff then
            return "\204" .. char(value)
        elseif value <= 0xffff then
            return "\205" .. big(value, 2)
        elseif value <= 0xffffffff then
            return "\206" .. big(value, 4)
        end
        return "\207" .. pack(">Q", value)
    elseif value >= -32 then
        return char(256 + value)
    elseif value >= -128 then
        return "\208" .. char(256 + value)
    elseif value >= -32768 then
        return "\209" .. big(65536 + value, 2)
    elseif value >= -2147483648 then
        return "\210" .. big(4294967296 + value, 4)
    end
    return "\211" .. pack(">q", value)
end

local function sized(count, few, marker, short, middle, long)
    if count <= few then
        return char(marker + count)
    elseif short and count <= 0xff then
        return char(short, count)
    elseif count <= 0xffff then
        return char(middle) .. big(count, 2)
    end
    return char(long) .. big(count, 4)
end

-- Its length when the table is a list.
local function length_of(list)
    local most, count = 0, 0
    for key in next, list do
        if type(key) ~= "number" or key <= 0 or floor(key) ~= key then
            return nil, nil
        end
        if key > most then
            most = key
        end
        count = count + 1
    end
    return most == count and count or nil
end

local function add(parts, value, depth)
    local kind = type(value)
    if kind == "string" then
        parts[#parts + 1] = sized(#value, 31, 0xa0, 0xd9, 0xda, 0xdb)
        parts[#parts + 1] = value
    elseif kind == "number" then
        parts[#parts + 1] = number_bytes(value)
    elseif kind == "boolean" then
        parts[#parts + 1] = value and "\195" or "\194"
    elseif kind == "table" and depth < MOST_NESTED then
        value = real_of[value] or value
        local length = length_of(value)
        if length then
            parts[#parts + 1] = sized(length, 15, 0x90, nil, 0xdc, 0xdd)
            for i = 1, length do
                add(parts, rawget(value, i), depth + 1)
            end
            return
        end
        local count = 0
        for _ in next, value do
            count = count + 1
        end
        parts[#parts + 1] = sized(count, 15, 0x80, nil, 0xde, 0xdf)
        for key, item in next, value do
            add(parts, key, depth + 1)
            add(parts, item, depth + 1)
        end
    else
        parts[#parts + 1] = "\192"
    end
end

function library.pack(...)
    local count = select("#", ...)
    if count == 0 then
        error("bad argument #0 to 'pack' (MessagePack pack needs input.)", 2)
    end
    local parts = {}
    for i = 1, count do
        add(parts, (select(i, ...)), 0)
    end
    return concat(parts)
end

-- Unpacking ----------------------------------------------------------------------------------------------------------

local MISSING, BAD = { "Missing bytes in input." }, { "Bad data format in input." }

local function need(data, at, count)
    if at + count - 1 > #data then
        error(MISSING, 0)
    end
end

local function count_at(data, at, bytes)
    need(data, at, bytes)
    if bytes == 1 then
        return byte(data, at), at + 1
    elseif bytes == 2 then
        local high, low = byte(data, at, at + 1)
        return high * 256 + low, at + 2
    end
    local a, b, c, d = byte(data, at, at + 3)
    return ((a * 256 + b) * 256 + c) * 256 + d, at + 4
end

local value_at

local function text_at(data, at, size)
    need(data, at, size)
    return sub(data, at, at + size - 1), at + size
end

local function list_at(data, at, size)
    local list = {}
    for i = 1, size do
        list[i], at = value_at(data, at)
    end
    return list, at
end

local function map_at(data, at, size)
    local map = {}
    for _ = 1, size do
        local key, value
        key, at = value_at(data, at)
        value, at = value_at(data, at)
        if key == nil or key ~= key then
            error({ key == nil and "table index is nil" or "table index is NaN", bare = true }, 0)
        end
        map[key] = value
    end
    return map, at
end

local NUMBERS = { [0xca] = { ">f", 4 }, [0xcb] = { ">d", 8 }, [0xcc] = { ">B", 1 }, [0xcd] = { ">H", 2 },
    [0xce] = { ">I", 4 }, [0xcf] = { ">q", 8 }, [0xd0] = { ">b", 1 }, [0xd1] = { ">h", 2 }, [0xd2] = { ">i", 4 },
    [0xd3] = { ">q", 8 } }
local TEXTS = { [0xd9] = 1, [0xda] = 2, [0xdb] = 4 }
local LISTS = { [0xdc] = 2, [0xdd] = 4 }
local MAPS = { [0xde] = 2, [0xdf] = 4 }

value_at = function(data, at)
    need(data, at, 1)
    local mark = byte(data, at)
    at = at + 1
    if mark <= 0x7f then
        return mark, at
    elseif mark >= 0xe0 then
        return mark - 256, at
    elseif mark >= 0xa0 and mark <= 0xbf then
        return text_at(data, at, mark - 0xa0)
    elseif mark >= 0x90 and mark <= 0x9f then
        return list_at(data, at, mark - 0x90)
    elseif mark <= 0x8f then
        return map_at(data, at, mark - 0x80)
    elseif mark == 0xc0 then
        return nil, at
    elseif mark == 0xc2 or mark == 0xc3 then
        return mark == 0xc3, at
    elseif NUMBERS[mark] then
        local layout, size = NUMBERS[mark][1], NUMBERS[mark][2]
        need(data, at, size)
        return host_unpack(layout, sub(data, at, at + size - 1)), at + size
    end
    local size
    if TEXTS[mark] then
        size, at = count_at(data, at, TEXTS[mark])
        return text_at(data, at, size)
    elseif LISTS[mark] then
        size, at = count_at(data, at, LISTS[mark])
        return list_at(data, at, size)
    elseif MAPS[mark] then
        size, at = count_at(data, at, MAPS[mark])
        return map_at(data, at, size)
    end
    error(BAD, 0)
end

local function checked_text(name, ...)
    local data = ...
    if type(data) == "number" then
        return tostring(data)
    elseif type(data) ~= "string" then
        error(format("bad argument #1 to '%s' (string expected, got %s)", name, type_name(...)), 3)
    end
    return data
end

-- Up to `limit` values (0: all) from `offset` on.
local function unpacked(data, limit, offset)
    if offset < 0 or limit < 0 then
        error(format("Invalid request to unpack with offset of %d and limit of %d.", offset, #data), 3)
    elseif offset > #data then
        error(format("Start offset %d greater than input length %d.", offset, #data), 3)
    end
    local all = limit == 0 and offset == 0
    if all then
        limit = 2147483647
    end
    local results, count, at = {}, 0, offset + 1
    while at <= #data and count < limit do
        count = count + 1
        local ok, value, after = pcall(value_at, data, at)
        if not ok then
            error(type(value) == "table" and value[1] or value, type(value) == "table" and value.bare and 0 or 3)
        end
        results[count], at = value, after
    end
    if all then
        return unpack(results, 1, count)
    end
    return at > #data and -1 or at - 1, unpack(results, 1, count)
end

function library.unpack(...)
    return unpacked(checked_text("unpack", ...), 0, 0)
end

function library.unpack_one(...)
    local offset = select(2, ...)
    return unpacked(checked_text("unpack_one", ...), 1, floor(tonumber(offset) or 0))
end

function library.unpack_limit(...)
    local limit, offset = select(2, ...)
    if not tonumber(limit) then
        error(format("bad argument #2 to 'unpack_limit' (number expected, got %s)",
            select("#", ...) < 2 and "no value" or type(limit)), 2)
    end
    return unpacked(checked_text("unpack_limit", ...), floor(tonumber(limit)), floor(tonumber(offset) or 0))
end

library._NAME, library._VERSION = "cmsgpack", "lua-cmsgpack 0.4.0"
library._COPYRIGHT, library._DESCRIPTION = "Copyright (C) 2012, Salvatore Sanfilippo", "MessagePack C implementation for Lua"

return library
