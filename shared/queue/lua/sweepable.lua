-- uses: names, promised, clock
-- Storage names to delete now. Each stays noted, for a minute later, until its deletion is confirmed.
-- Returns {names, ms now}.
hold_if_jumped()
if on_hold() then return {{}, now} end
clamp(key('sweep'), args.longest_ms, args.longest_ms, args.limit)
local found = {}
local due = redis.call('ZRANGEBYSCORE', key('sweep'), '-inf', now, 'LIMIT', 0, args.limit)
for _, name in ipairs(due) do
  local _, input = read(NAMES.INPUT, name)
  if input and tonumber(redis.call('HGET', key('input', input), 'refs') or 0) > 0 then
    redis.call('ZREM', key('sweep'), name)
  else
    if input then
      keep_promise(input)
      redis.call('DEL', key('input', input))
    end
    redis.call('ZADD', key('sweep'), now + 60000, name)
    table.insert(found, name)
  end
end
return {found, now}
