-- Values packed as C lays them out: the formats of Lua's struct library, with alignment and bounds.

local host = ...
local type, tonumber, tostring, error, select, unpack, pcall = type, tonumber, tostring, error,
    select, unpack, pcall
local byte, char, sub, find, format, rep, concat, floor = string.byte, string.char, string.sub, string.find,
    string.format, string.rep, table.concat, math.floor

local LARGEST_INTEGER = 32
local NATIVE_ALIGNMENT = 8

local library = {}

-- What is wrong with what the caller gave: told where it called.
local function fail(text, ...)
    error({ format(text, ...) }, 0)
end

local function checked(ok, result, ...)
    if not ok then
        error(type(result) == "table" and result[1] or result, 3)
    end
    return result, ...
end

-- A count behind an option, and where the format goes on.
local function count_at(fmt, at, default)
    local digits = string.match(fmt, "^%d+", at)
    if not digits then
        return default, at
    end
    local count = tonumber(digits)
    if count > 2147483647 then
        fail("integral size overflow")
    end
    return count, at + #digits
end

local SIZES = { b = 1, B = 1, h = 2, H = 2, l = 8, L = 8, T = 8, f = 4, d = 8 }

-- The size of what option `letter` stands for, and where the format goes on.
local function size_of(fmt, letter, at)
    local fixed = SIZES[letter]
    if fixed then
        return fixed, at
    elseif letter == "x" then
        return 1, at
    elseif letter == "c" then
        return count_at(fmt, at, 1)
    elseif letter == "i" or letter == "I" then
        local size
        size, at = count_at(fmt, at, 4)
        if size > LARGEST_INTEGER then
            fail("integral size %d is larger than limit of %d", size, LARGEST_INTEGER)
        end
        return size, at
    end
    return 0, at
end

local function padding(size, align, total)
    if size == 0 or size > align then
        size = align
    end
    if size > 1 then
        return (size - total % size) % size
    end
    return 0
end

-- An option that says how, not what. Where the format goes on.
local function control(fmt, letter, at, state)
    if letter == "<" then
        state.little = true
    elseif letter == ">" then
        state.little = false
    elseif letter == "!" then
        local align
        align, at = count_at(fmt, at, NATIVE_ALIGNMENT)
        if align == 0 or align > 2147483647 or math.frexp(align) ~= 0.5 then
            fail("alignment %d is not a power of 2", align)
        end
        state.align = align
    elseif letter ~= " " then
        fail("bad argument #1 to '%s' (invalid format option '%s')", state.name, letter)
    end
    return at
end

local function walk(name, fmt, each)
    local state = { name = name, little = true, align = 1 }
    local at, total = 1, 0
    while at <= #fmt do
        local letter = sub(fmt, at, at)
        local size
        size, at = size_of(fmt, letter, at + 1)
        local pad = 0
        if not find(letter, "[cxs]") then
            pad = find(letter, "[bBhHlLTiIfd]") and size > 1 and state.align > 1
                and padding(size, state.align, total) or 0
        end
        total = total + pad
        if find(letter, "[bBhHlLTiIfdcxs]") then
            local grown = each(letter, size, pad, state, total)
            total = total + grown
        else
            at = control(fmt, letter, at, state)
        end
    end
    return total
end

local function integer_bytes(number, size, little)
    if number >= 2 ^ 64 or number ~= number then  -- what C makes of numbers that are too large
        number = 0
    elseif number < -2 ^ 63 then
        number = -2 ^ 63
    end
    number = number < 0 and math.ceil(number) or floor(number)
    local bytes = {}
    for i = 1, size do
        bytes[little and i or size - i + 1] = i > 8 and "\0" or char(number % 256)  -- as C's widest integer ends there
        number = floor(number / 256)
    end
    return concat(bytes)
end

local function checked_number(value, position)
    local number = tonumber(value)
    if not number then
        fail("bad argument #%d to 'pack' (number expected, got %s)", position,
            type(value))
    end
    return number
end

local function checked_text(value, position)
    if type(value) == "number" then
        return tostring(value)
    elseif type(value) ~= "string" then
        fail("bad argument #%d to 'pack' (string expected, got %s)", position,
            type(value))
    end
    return value
end

local function checked_format(name, ...)
    local fmt = ...
    if type(fmt) == "number" then
        return tostring(fmt)
    elseif type(fmt) ~= "string" then
        error(format("bad argument #1 to '%s' (string expected, got %s)", name,
            select("#", ...) == 0 and "no value" or type(fmt)), 3)
    end
    return fmt
end

local function packed(fmt, ...)
    local values = { ... }
    local used = 0
    local parts = {}
    walk("pack", fmt, function(letter, size, pad, state)
        parts[#parts + 1] = rep("\0", pad)
        if letter == "x" then
            parts[#parts + 1] = "\0"
            return 1
        end
        used = used + 1
        local value = values[used]
        if letter == "s" or letter == "c" then
            local text = checked_text(value, used + 1)
            if letter == "s" then
                text = text .. "\0"
            elseif size == 0 then
                size = #text
            elseif #text < size then
                fail("bad argument #%d to 'pack' (string too short)", used + 2)
            end
            text = letter == "c" and sub(text, 1, size) or text
            parts[#parts + 1] = text
            return #text
        end
        local number = checked_number(value, used + 1)
        if letter == "f" or letter == "d" then
            local bytes = host.pack((state.little and "<" or ">") .. letter, number)
            if number == 0 and 1 / number < 0 then  -- the host knows but one zero
                local zeros = rep("\0", size - 1)
                bytes = state.little and zeros .. "\128" or "\128" .. zeros
            end
            parts[#parts + 1] = bytes
        else
            parts[#parts + 1] = integer_bytes(number, size, state.little)
        end
        return size
    end)
    return concat(parts)
end

function library.pack(...)
    local fmt = checked_format("pack", ...)
    local result = checked(pcall(packed, fmt, select(2, ...)))
    return result
end

local function integer_at(data, at, size, little, signed)
    local low, high = 0, 0
    for i = 1, math.min(size, 8) do  -- what is longer is cut
        local value = byte(data, little and at + i - 1 or at + size - i)
        if i <= 4 then
            low = low + value * 256 ^ (i - 1)
        else
            high = high + value * 256 ^ (i - 5)
        end
    end
    if signed then
        if size >= 8 then
            if high >= 2 ^ 31 then
                high = high - 2 ^ 32
            end
        elseif size > 4 then
            if high >= 2 ^ (8 * (size - 4) - 1) then
                high = high - 2 ^ (8 * (size - 4))
            end
        elseif low >= 2 ^ (8 * size - 1) then
            low = low - 2 ^ (8 * size)
        end
    end
    return high * 4294967296 + low
end

local function unpacked(fmt, data, first)
    local results, count = {}, 0
    local final = walk("unpack", fmt, function(letter, size, pad, state, total)
        local here = first + total + 1
        if here - 1 > #data or size > #data - (here - 1) then
            fail("bad argument #2 to 'unpack' (data string too short)")
        end
        if letter == "x" then
            return 1
        elseif letter == "s" then
            local zero = find(data, "\0", here, true)
            if not zero then
                fail("unfinished string in data")
            end
            count = count + 1
            results[count] = sub(data, here, zero - 1)
            return zero - here + 1
        elseif letter == "c" then
            if size == 0 then
                if count == 0 or type(results[count]) ~= "number" then
                    fail("format 'c0' needs a previous size")
                end
                size = results[count]
                count = count - 1
                if size < 0 or size > #data - (here - 1) then
                    fail("bad argument #2 to 'unpack' (data string too short)")
                end
                size = floor(size)
            end
            count = count + 1
            results[count] = sub(data, here, here + size - 1)
            return size
        end
        count = count + 1
        if letter == "f" or letter == "d" then
            results[count] = host.unpack((state.little and "<" or ">") .. letter, sub(data, here, here + size - 1))
        else
            results[count] = integer_at(data, here, size, state.little, find(letter, "[bhli]") ~= nil)
        end
        return size
    end)
    results[count + 1] = first + final + 1
    return results, count + 1
end

function library.unpack(...)
    local fmt = checked_format("unpack", ...)
    local data, start = select(2, ...)
    if type(data) == "number" then
        data = tostring(data)
    elseif type(data) ~= "string" then
        error(format("bad argument #2 to 'unpack' (string expected, got %s)",
            select("#", ...) < 2 and "no value" or type(data)), 2)
    end
    local at = start == nil and 1 or tonumber(start)
    if not at then
        error(format("bad argument #3 to 'unpack' (number expected, got %s)", type(start)), 2)
    elseif at < 0 then  -- as C makes a very large number of it
        error("bad argument #2 to 'unpack' (data string too short)", 2)
    elseif at < 1 then
        error("bad argument #3 to 'unpack' (offset must be 1 or greater)", 2)
    end
    local results, count = checked(pcall(unpacked, fmt, data, floor(at) - 1))
    return unpack(results, 1, count)
end

local function sized(fmt)
    return walk("size", fmt, function(letter, size)
        if letter == "s" then
            fail("bad argument #1 to 'size' (option 's' has no fixed size)")
        elseif letter == "c" and size == 0 then
            fail("bad argument #1 to 'size' (option 'c0' has no fixed size)")
        end
        return size
    end)
end

function library.size(...)
    local fmt = checked_format("size", ...)
    local result = checked(pcall(sized, fmt))
    return result
end

return library
