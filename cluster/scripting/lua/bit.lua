-- Operations on 32 bits. Lua 5.1 has none, so the host does them.

local host, tools = ...
local tonumber, error, format, select = tonumber, error, string.format, select
local compute, type_name = host.bit, tools.type_name

local library = {}

local function number(name, position, ...)
    local value = ...
    local found = tonumber(value)
    if not found or type(value) == "boolean" then
        error(format("bad argument #%d to '%s' (number expected, got %s)", position, name, type_name(...)), 3)
    end
    return found
end

for _, name in ipairs({ "tobit", "bnot", "bswap" }) do
    library[name] = function(...)
        return compute(name, number(name, 1, ...))
    end
end

for _, name in ipairs({ "band", "bor", "bxor" }) do
    library[name] = function(...)
        local result = compute("tobit", number(name, 1, ...))
        for i = 2, select("#", ...) do
            result = compute(name, result, number(name, i, (select(i, ...))))
        end
        return result
    end
end

for _, name in ipairs({ "lshift", "rshift", "arshift", "rol", "ror" }) do
    library[name] = function(...)
        return compute(name, number(name, 1, ...), number(name, 2, select(2, ...)))
    end
end

function library.tohex(...)
    local value = number("tohex", 1, ...)
    local digits = select(2, ...)
    return compute("tohex", value, digits == nil and 8 or number("tohex", 2, digits))
end

return library
