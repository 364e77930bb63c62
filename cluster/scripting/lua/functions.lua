-- What a library of functions sees while it is loaded: `redis`, with redis.register_function in it, and nothing else.

local host, tools = ...
local front, libraries, base = tools.front, tools.libraries, tools.base
local type, select, error, tostring, find, lower, concat = type, select, error, tostring, string.find, string.lower,
    table.concat
local host_register = host.register

local NAMES_WRONG = "Library names can only contain letters, numbers, or underscores(_) and must be at least one "
    .. "character long"
local FLAGS = {
    ["no-writes"] = true, ["allow-oom"] = true, ["allow-stale"] = true, ["no-cluster"] = true,
    ["allow-cross-slot-keys"] = true,
}
local OF_REDIS = {
    "log", "LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING", "REDIS_VERSION", "REDIS_VERSION_NUM",
}

local library = { register_function = true }
local while_loading = { redis = front(library) }
for _, shown in ipairs({ library, while_loading }) do
    setmetatable(shown, getmetatable(base))
end
for _, name in ipairs(OF_REDIS) do
    library[name] = libraries.redis[name]
end

for _, name in ipairs({ "breakpoint", "debug", "replicate_commands" }) do  -- which only scripts have
    libraries.redis[name] = nil
end
base.__redis__err__handler = nil

local bodies, number, names  -- of the library that is being loaded

local function refuse(text)
    error({ err = "ERR " .. text }, 0)
end

local function text_of(value, wrong)
    if type(value) ~= "string" and type(value) ~= "number" then
        refuse(wrong)
    end
    return tostring(value)
end

local function flags_of(given)
    if type(given) ~= "table" then
        refuse("flags argument to redis.register_function must be a table representing function flags")
    end
    local flags = {}
    for _, flag in ipairs(given) do
        local known = type(flag) == "string" and lower(flag)
        if not FLAGS[known] then
            refuse("unknown flag given")
        end
        flags[#flags + 1] = known
    end
    return concat(flags, " ")
end

local READ = {}

function READ.function_name(into, value)
    into.name = text_of(value, "function_name argument given to redis.register_function must be a string")
end

function READ.description(into, value)
    into.description = text_of(value, "description argument given to redis.register_function must be a string")
end

function READ.callback(into, value)
    if type(value) ~= "function" then
        refuse("callback argument given to redis.register_function must be a function")
    end
    into.body = value
end

function READ.flags(into, value)
    into.flags = flags_of(value)
end

local function named(given)
    if type(given) ~= "table" then
        refuse("calling redis.register_function with a single argument is only applicable to Lua table (representing "
            .. "named arguments).")
    end
    local into = {}
    for key, value in next, given do
        local name = text_of(key, "named argument key given to redis.register_function is not a string")
        local read = READ[lower(name)]
        if not read then
            refuse("unknown argument given to redis.register_function")
        end
        read(into, value)
    end
    if not into.name then
        refuse("redis.register_function must get a function name argument")
    elseif not into.body then
        refuse("redis.register_function must get a callback argument")
    end
    return into
end

function library.register_function(...)
    if not bodies then
        refuse("redis.register_function can only be called on FUNCTION LOAD command")
    end
    local count = select("#", ...)
    local first, second = ...
    local made
    if count == 1 then
        made = named(first)
    elseif count == 2 then
        made = { name = text_of(first, "first argument to redis.register_function must be a string"), body = second }
        if type(second) ~= "function" then
            refuse("second argument to redis.register_function must be a function")
        end
    else
        refuse("wrong number of arguments to redis.register_function")
    end
    if not find(made.name, "^[%w_]+$") then
        refuse(NAMES_WRONG)
    elseif names[made.name] then
        refuse("Function already exists in the library")
    end
    names[made.name] = true
    bodies[number] = made.body
    host_register(number, made.name, made.flags or "", made.description or false)
    number = number + 1
end

tools.registered = {}

-- A library is about to be loaded: the functions it registers go to `into`, numbered from `first` on. What it is to see.
function tools.registered.begin(into, first)
    bodies, number, names = into, first, {}
    return while_loading
end

function tools.registered.finish()
    bodies, names = nil, nil
end
