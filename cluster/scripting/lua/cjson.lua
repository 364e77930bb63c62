-- JSON, with the behaviour and the limits of lua-cjson 2.1.

local host, tools = ...
local type, tonumber, tostring, error, select, next, rawget = type, tonumber, tostring, error, select, next, rawget
local byte, char, sub, find, match, format, gsub, concat, floor = string.byte, string.char, string.sub, string.find,
    string.match, string.format, string.gsub, table.concat, math.floor
local real_of, type_name, setmetatable, getmetatable = tools.real_of, tools.type_name, setmetatable, getmetatable

local HUGE = math.huge
local null = tools.newproxy(false)

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["/"] = "\\/", ["\b"] = "\\b", ["\t"] = "\\t", ["\n"] = "\\n",
    ["\f"] = "\\f", ["\r"] = "\\r", ["\127"] = "\\u007f" }
for code = 0, 31 do
    local control = char(code)
    ESCAPES[control] = ESCAPES[control] or format("\\u%04x", code)
end
local UNESCAPED = { [34] = '"', [92] = "\\", [47] = "/", [98] = "\b", [102] = "\f", [110] = "\n", [114] = "\r",
    [116] = "\t" }

local function new()
    local library = {}
    local sparse_convert, sparse_ratio, sparse_safe = false, 2, 10
    local encode_depth, decode_depth = 1000, 1000
    local encode_invalid, decode_invalid = false, true  -- or "null"
    local keeps_buffer = true
    local precision = 14
    local number_format = "%.14g"

    -- Encoding -------------------------------------------------------------------------------------------------------

    local function quoted(text)
        return '"' .. gsub(text, '[%c"\\/\127]', ESCAPES) .. '"'
    end

    local function refuse(value, reason)
        error(format("Cannot serialise %s: %s", value == null and "userdata" or type(value), reason), 0)
    end

    local function number_text(value)
        if value ~= value or value == HUGE or value == -HUGE then
            if encode_invalid == "null" then
                return "null"
            elseif not encode_invalid then
                refuse(value, "must not be NaN or Inf")
            elseif value ~= value then
                return "nan"
            end
            return value > 0 and "inf" or "-inf"
        end
        return format(number_format, value)
    end

    -- How long a list it is; nil when it is an object.
    local function length_of(list)
        local most, count = 0, 0
        for key in next, list do
            if type(key) ~= "number" or key < 1 or floor(key) ~= key then
                return nil
            end
            if key > most then
                most = key
            end
            count = count + 1
        end
        if sparse_ratio > 0 and most > count * sparse_ratio and most > sparse_safe then
            if not sparse_convert then
                refuse(list, "excessively sparse array")
            end
            return nil
        end
        return most > 0 and most or nil
    end

    local add

    local function add_object(parts, object, depth)
        local n = #parts + 1
        parts[n] = "{"
        local comma = ""
        for key, value in next, object do
            local kind = type(key)
            if kind == "string" then
                key = quoted(key)
            elseif kind == "number" then
                key = '"' .. number_text(key) .. '"'
            else
                refuse(key, "table key must be a number or string")
            end
            parts[#parts + 1] = comma .. key .. ":"
            comma = ","
            add(parts, value, depth)
        end
        parts[#parts + 1] = "}"
    end

    add = function(parts, value, depth)
        local kind = type(value)
        if kind == "string" then
            parts[#parts + 1] = quoted(value)
        elseif kind == "number" then
            parts[#parts + 1] = number_text(value)
        elseif kind == "boolean" then
            parts[#parts + 1] = value and "true" or "false"
        elseif kind == "table" then
            depth = depth + 1
            if depth > encode_depth then
                error(format("Cannot serialise, excessive nesting (%d)", depth), 0)
            end
            value = real_of[value] or value
            local length = length_of(value)
            if not length then
                return add_object(parts, value, depth)
            end
            parts[#parts + 1] = "["
            for i = 1, length do
                if i > 1 then
                    parts[#parts + 1] = ","
                end
                add(parts, rawget(value, i), depth)
            end
            parts[#parts + 1] = "]"
        elseif value == nil or value == null then
            parts[#parts + 1] = "null"
        else
            refuse(value, "type not supported")
        end
    end

    function library.encode(...)
        if select("#", ...) ~= 1 then
            error("bad argument #1 to 'encode' (expected 1 argument)", 2)
        end
        local parts = {}
        local ok, wrong = pcall(add, parts, (...), 0)
        if not ok then
            error(wrong, 2)
        end
        return concat(parts)
    end

    -- Decoding -------------------------------------------------------------------------------------------------------

    local function expected(what, found, at)
        error({ format("Expected %s but found %s at character %d", what, found, at) }, 0)
    end

    local NAMES = { ["{"] = "T_OBJ_BEGIN", ["}"] = "T_OBJ_END", ["["] = "T_ARR_BEGIN", ["]"] = "T_ARR_END",
        [","] = "T_COMMA", [":"] = "T_COLON" }

    local function utf8_of(code)
        if code < 0x80 then
            return char(code)
        elseif code < 0x800 then
            return char(0xC0 + floor(code / 64), 0x80 + code % 64)
        elseif code < 0x10000 then
            return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
        end
        return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64,
            0x80 + code % 64)
    end

    -- The character that \uXXXX at `at` (the backslash) stands for, and where it ends.
    local function unicode_at(text, at, what)
        local digits = match(text, "^\\u(%x%x%x%x)", at)
        if not digits then
            expected(what, "invalid unicode escape code", at)
        end
        local code = tonumber(digits, 16)
        if code >= 0xD800 and code <= 0xDFFF then
            if code >= 0xDC00 then
                expected(what, "invalid unicode escape code", at)
            end
            local low = tonumber(match(text, "^\\u(%x%x%x%x)", at + 6) or "0", 16)
            if low < 0xDC00 or low > 0xDFFF then
                expected(what, "invalid unicode escape code", at)
            end
            return utf8_of(0x10000 + (code - 0xD800) * 1024 + low - 0xDC00), at + 12
        end
        return utf8_of(code), at + 6
    end

    -- The string whose quote stands at `at`, and where it ends.
    local function string_at(text, at, what)
        local from = at + 1
        local parts
        while true do
            local stop = find(text, '["\\%z]', from)
            local code = stop and byte(text, stop)
            if code == 34 then
                local piece = sub(text, from, stop - 1)
                if parts then
                    parts[#parts + 1] = piece
                    return concat(parts), stop + 1
                end
                return piece, stop + 1
            elseif code ~= 92 then
                expected(what, "unexpected end of string", stop or #text + 1)
            end
            parts = parts or {}
            parts[#parts + 1] = sub(text, from, stop - 1)
            code = byte(text, stop + 1)
            if code == 117 then
                parts[#parts + 1], from = unicode_at(text, stop, what)
            else
                local plain = UNESCAPED[code]
                if not plain then
                    expected(what, "invalid escape code", stop)
                end
                parts[#parts + 1] = plain
                from = stop + 2
            end
        end
    end

    -- What C's strtod makes of the text at `at`: number and end, or nil.
    local function number_at(text, at)
        local hex = match(text, "^-?0[xX]%x+", at)
        if hex then
            local negative = sub(hex, 1, 1) == "-"
            local value = tonumber(negative and sub(hex, 2) or hex)
            return value and (negative and -value or value), at + #hex
        end
        local digits = match(text, "^[+-]?%d+%.?%d*", at) or match(text, "^[+-]?%.%d+", at)
        if digits then
            local power = match(text, "^[eE][+-]?%d+", at + #digits) or ""
            return tonumber(digits .. power), at + #digits + #power
        end
        local word = match(text, "^-?%a+", at)
        if word then
            local lower = string.lower(word)
            local sign = sub(lower, 1, 1) == "-" and -1 or 1
            local bare = sign < 0 and sub(lower, 2) or lower
            local shift = sign < 0 and 1 or 0
            if sub(bare, 1, 8) == "infinity" then
                return sign * HUGE, at + 8 + shift
            elseif sub(bare, 1, 3) == "inf" then
                return sign * HUGE, at + 3 + shift
            elseif sub(bare, 1, 3) == "nan" then
                return -(0 / 0), at + 3 + shift  -- a NaN without a sign
            end
        end
        return nil
    end

    local function is_invalid_number(text, at)
        return find(text, "^-?0[xX%d]", at) or find(text, "^-?[iInN]", at) ~= nil
    end

    local value_at

    -- What an error says stands there: a token's name, or why there is none. And where.
    local function found_at(text, at)
        local letter = sub(text, at, at)
        if letter == "" then
            return "T_END"
        elseif NAMES[letter] then
            return NAMES[letter]
        elseif letter == '"' then
            return "T_STRING"
        elseif find(letter, "[%d%-]") then
            return "T_NUMBER"
        elseif find(text, "^true", at) or find(text, "^false", at) then
            return "T_BOOLEAN"
        elseif find(text, "^null", at) then
            return "T_NULL"
        elseif decode_invalid and find(letter, "[iInN]") and number_at(text, at) then
            return "T_NUMBER"
        end
        return "invalid token"
    end

    local function skip(text, at)
        return find(text, "[^ \t\n\r]", at) or #text + 1
    end

    local function list_at(text, at, depth)
        local list, count = {}, 0
        at = skip(text, at)
        if byte(text, at) == 93 then
            return list, at + 1
        end
        while true do
            count = count + 1
            list[count], at = value_at(text, at, depth)
            at = skip(text, at)
            local code = byte(text, at)
            if code == 93 then
                return list, at + 1
            elseif code ~= 44 then
                expected("comma or array end", found_at(text, at), at)
            end
            at = skip(text, at + 1)
        end
    end

    local function object_at(text, at, depth)
        local object = {}
        at = skip(text, at)
        if byte(text, at) == 125 then
            return object, at + 1
        end
        while true do
            if byte(text, at) ~= 34 then
                expected("object key string", found_at(text, at), at)
            end
            local key
            key, at = string_at(text, at, "object key string")
            at = skip(text, at)
            if byte(text, at) ~= 58 then
                expected("colon", found_at(text, at), at)
            end
            object[key], at = value_at(text, skip(text, at + 1), depth)
            at = skip(text, at)
            local code = byte(text, at)
            if code == 125 then
                return object, at + 1
            elseif code ~= 44 then
                expected("comma or object end", found_at(text, at), at)
            end
            at = skip(text, at + 1)
        end
    end

    value_at = function(text, at, depth)
        local code = byte(text, at)
        if code == 34 then
            return string_at(text, at, "value")
        elseif code == 123 or code == 91 then
            depth = depth + 1
            if depth > decode_depth then
                error({ format("Found too many nested data structures (%d) at character %d", depth, at) }, 0)
            end
            if code == 123 then
                return object_at(text, at + 1, depth)
            end
            return list_at(text, at + 1, depth)
        elseif code == 116 and sub(text, at, at + 3) == "true" then
            return true, at + 4
        elseif code == 102 and sub(text, at, at + 4) == "false" then
            return false, at + 5
        elseif code == 110 and sub(text, at, at + 3) == "null" then
            return null, at + 4
        elseif code and (code == 45 or (code >= 48 and code <= 57)) then
            if not decode_invalid and is_invalid_number(text, at) then
                expected("value", "invalid number", at)
            end
            local number, stop = number_at(text, at)
            if not number then
                expected("value", "invalid number", at)
            end
            return number, stop
        elseif code == 43 or (code and decode_invalid and find(text, "^[iInN]", at)) then
            local number, stop = number_at(text, at)
            if number then
                return number, stop
            end
        end
        expected("value", found_at(text, at), at)
    end

    function library.decode(...)
        if select("#", ...) ~= 1 then
            error("bad argument #1 to 'decode' (expected 1 argument)", 2)
        end
        local text = ...
        if type(text) == "number" then
            text = tostring(text)
        elseif type(text) ~= "string" then
            error(format("bad argument #1 to 'decode' (string expected, got %s)", type_name(...)), 2)
        end
        if #text >= 2 and (byte(text, 1) == 0 or byte(text, 2) == 0) then
            error("JSON parser does not support UTF-16 or UTF-32", 2)
        end
        local ok, value, at = pcall(value_at, text, skip(text, 1), 0)
        if ok then
            at = skip(text, at)
            if at <= #text then
                error(format("Expected the end but found %s at character %d", found_at(text, at), at), 2)
            end
            return value
        end
        error(type(value) == "table" and value[1] or value, 2)
    end

    -- Settings -------------------------------------------------------------------------------------------------------

    local function whole(name, position, value, least, most)
        local number = tonumber(value)
        if not number then
            error(format("bad argument #%d to '%s' (number expected, got %s)", position, name, type(value)), 3)
        elseif number < least or number > most then
            error(format("bad argument #%d to '%s' (expected integer between %d and %d)", position, name, least, most),
                3)
        end
        return floor(number)
    end

    local function choice(name, value, words)
        if type(value) == "boolean" then
            return value
        end
        for i = 1, #words do
            if value == words[i] then
                return value == "null" and "null" or value == "on"
            end
        end
        error(format("bad argument #1 to '%s' (invalid option '%s')", name, tostring(value)), 3)
    end

    local INT_MAX = 2147483647

    function library.encode_sparse_array(...)
        local convert, ratio, safe = ...
        if convert ~= nil then
            sparse_convert = choice("encode_sparse_array", convert, { "off", "on" })
        end
        if ratio ~= nil then
            sparse_ratio = whole("encode_sparse_array", 2, ratio, 0, INT_MAX)
        end
        if safe ~= nil then
            sparse_safe = whole("encode_sparse_array", 3, safe, 0, INT_MAX)
        end
        return sparse_convert, sparse_ratio, sparse_safe
    end

    function library.encode_max_depth(depth)
        if depth ~= nil then
            encode_depth = whole("encode_max_depth", 1, depth, 1, INT_MAX)
        end
        return encode_depth
    end

    function library.decode_max_depth(depth)
        if depth ~= nil then
            decode_depth = whole("decode_max_depth", 1, depth, 1, INT_MAX)
        end
        return decode_depth
    end

    function library.encode_number_precision(digits)
        if digits ~= nil then
            precision = whole("encode_number_precision", 1, digits, 1, 14)
            number_format = "%." .. precision .. "g"
        end
        return precision
    end

    function library.encode_keep_buffer(keep)
        if keep ~= nil then
            keeps_buffer = choice("encode_keep_buffer", keep, { "off", "on" })
        end
        return keeps_buffer
    end

    function library.encode_invalid_numbers(allowed)
        if allowed ~= nil then
            encode_invalid = choice("encode_invalid_numbers", allowed, { "off", "on", "null" })
        end
        return encode_invalid
    end

    function library.decode_invalid_numbers(allowed)
        if allowed ~= nil then
            decode_invalid = choice("decode_invalid_numbers", allowed, { "off", "on" })
        end
        return decode_invalid
    end

    library.new = new
    library.null = null
    library._NAME = "cjson"
    library._VERSION = "2.1.0"
    return library
end

return new()
