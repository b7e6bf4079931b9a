-- How much is waiting, per lane. Reads only; its cost does not grow with the queue.
-- Returns {{depth, microseconds since its first job came} per lane, unfinished, overdue, webhooks}.
local lanes = {}
for _, lane in ipairs(args.lanes) do
  local first = redis.call('ZRANGE', key('lane', lane), 0, 0, 'WITHSCORES')
  local age = first[2] and math.max(0, turn - tonumber(first[2])) or 0
  table.insert(lanes, {redis.call('ZCARD', key('lane', lane)), age})
end
local unfinished, overdue = 0, 0
for _, set in ipairs({key('due'), key('leased')}) do
  unfinished = unfinished + redis.call('ZCARD', set)
  overdue = overdue + redis.call('ZCOUNT', set, '-inf', now)
end
return {lanes, unfinished, overdue, redis.call('SCARD', key('pending'))}
