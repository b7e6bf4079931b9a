-- How much waits, by lane. Reads only, and nothing that grows with the queue.
-- Answers {{depth, microseconds since its first job came} a lane, unfinished, overdue, webhooks}.
local lanes = {}
for _, lane in ipairs(args.lanes) do
  local first = redis.call('ZRANGE', key('lane', lane), 0, 0, 'WITHSCORES')
  local age = first[2] and math.max(0, turn - tonumber(first[2])) or 0
  table.insert(lanes, {redis.call('ZCARD', key('lane', lane)), age})
end
return {lanes, redis.call('ZCARD', key('due')), redis.call('ZCOUNT', key('due'), '-inf', now),
  redis.call('SCARD', key('pending'))}
