-- Compiled chunks with plain calls in the place of some tail calls.
--
-- `return redis.call(…)` leaves no trace of the line it stands on where redis.call is a function of Lua, and errors have
-- to name that line. So there are no tail calls in the body of a chunk, which runs once; and anywhere else none of what
-- is global or has the name of a library's function (call, decode …). All others stay, since a script may count on them
-- to go on for ever.

local _, tools = ...
local libraries = tools.libraries
local byte, sub, char, concat, floor = string.byte, string.sub, string.char, table.concat, math.floor

-- As Lua 5.1 numbers its instructions, and the kinds of constants.
local GETGLOBAL, GETTABLE, SELF, CALL, TAIL_CALL = 5, 6, 11, 28, 29
local BOOLEAN, NUMBER, STRING = 1, 3, 4
-- Instructions whose first operand is no register that they write.
local WRITES_NONE = { [7] = true, [8] = true, [9] = true, [22] = true, [23] = true, [24] = true, [25] = true, [26] = true,
    [30] = true, [34] = true, [35] = true }
local HEADER_BYTES, SIZE_BYTES = 12, 8
local CONSTANT = 256  -- from here on an operand is one

local names = { register_function = true }  -- of functions of libraries
for _, library in pairs(libraries) do
    for name in pairs(library) do
        names[name] = true
    end
end

local function integer_at(dump, at)
    local a, b, c, d = byte(dump, at, at + 3)
    return ((d * 256 + c) * 256 + b) * 256 + a
end

-- The instruction's number, its first operand, and the third.
local function decoded(dump, at)
    local a, b, c = byte(dump, at, at + 2)
    return a % 64, floor(a / 64) + b % 64 * 4, floor(b / 64) + c % 128 * 4
end

-- Whether the tail call at `at` is one of a library's function. `code`: where the instructions begin.
local function is_of_library(dump, code, at, constants)
    local _, register = decoded(dump, at)
    for before = at - 4, code, -4 do
        local kind, target, field = decoded(dump, before)
        if target == register and not WRITES_NONE[kind] then
            if kind == GETTABLE or kind == SELF then
                return field >= CONSTANT and names[constants[field - CONSTANT] or ""] ~= nil
            end
            return kind == GETGLOBAL
        end
    end
    return false
end

-- (where the constants end; those that are strings)
local function strings_at(dump, at)
    local constants = {}
    local count = integer_at(dump, at)
    at = at + 4
    for number = 0, count - 1 do
        local kind = byte(dump, at)
        at = at + 1
        if kind == BOOLEAN then
            at = at + 1
        elseif kind == NUMBER then
            at = at + 8
        elseif kind == STRING then
            local size = integer_at(dump, at)
            constants[number] = sub(dump, at + SIZE_BYTES, at + SIZE_BYTES + size - 2)
            at = at + SIZE_BYTES + size
        end
    end
    return at, constants
end

local function behind_strings(dump, at, more)
    local count = integer_at(dump, at)
    at = at + 4
    for _ = 1, count do
        at = at + SIZE_BYTES + integer_at(dump, at) + more
    end
    return at
end

-- Note in `found` where the tail calls to be changed are, in the function at `at` and those within it. Where it ends.
local function find_calls(dump, at, is_body, found)
    at = at + SIZE_BYTES + integer_at(dump, at) + 12  -- behind its name, its lines, and what it says of its stack
    local code = at + 4
    at = code + 4 * integer_at(dump, at)
    local behind, constants = strings_at(dump, at)
    for position = code, at - 4, 4 do
        if byte(dump, position) % 64 == TAIL_CALL and (is_body or is_of_library(dump, code, position, constants)) then
            found[#found + 1] = position
        end
    end
    at = behind + 4
    for _ = 1, integer_at(dump, behind) do
        at = find_calls(dump, at, false, found)
    end
    at = at + 4 + 4 * integer_at(dump, at)  -- lines
    at = behind_strings(dump, at, 8)  -- names of variables
    return behind_strings(dump, at, 0)  -- and of those from outside
end

-- The dump of a chunk without those tail calls; nil where there are none.
function tools.without_tail_calls(dump)
    local found = {}
    find_calls(dump, HEADER_BYTES + 1, true, found)
    if #found == 0 then
        return nil
    end
    local parts, from = {}, 1
    for _, position in ipairs(found) do
        parts[#parts + 1] = sub(dump, from, position - 1)
        parts[#parts + 1] = char(byte(dump, position) - TAIL_CALL + CALL)
        from = position + 1
    end
    parts[#parts + 1] = sub(dump, from)
    return concat(parts)
end
