-- In every script. KEYS[1] is the prefix of all keys, ARGV[1] the arguments as JSON.
-- Redis TIME is the only clock. Times are in milliseconds unless they say otherwise.
local args = cjson.decode(ARGV[1])

local function key(name, id)
  if id then return KEYS[1] .. name .. ':' .. id end
  return KEYS[1] .. name
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Microseconds, which keep the order of jobs that come in the same millisecond.
local turn = time[1] * 1000000 + time[2]
