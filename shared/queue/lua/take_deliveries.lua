-- Lease the webhook deliveries that are due. Answers {{id, delivery fields}, ...}.
local taken = {}
local due = redis.call('ZRANGEBYSCORE', key('deliveries'), '-inf', now, 'LIMIT', 0, args.limit)
for _, id in ipairs(due) do
  if redis.call('EXISTS', key('delivery', id)) == 0 then
    redis.call('ZREM', key('deliveries'), id)
  else
    redis.call('HINCRBY', key('delivery', id), 'attempts', 1)
    redis.call('ZADD', key('deliveries'), now + args.lease_ms, id)
    table.insert(taken, {id, redis.call('HGETALL', key('delivery', id))})
  end
end
return taken
