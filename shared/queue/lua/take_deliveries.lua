-- Lease webhook deliveries that are due, receivers in turn, and of each no more than `per_receiver`
-- at once over all couriers. Answers {{id, delivery fields}, ...}.
local taken, looks = {}, 0
local instant = turn / 1000 -- finer than `now`: receivers served in one millisecond keep their order

local function first(set)
  return tonumber(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2])
end

local function take(id, carried)
  local delivery = key('delivery', id)
  local held = redis.call('HMGET', delivery, 'tenant', 'url')
  redis.call('HDEL', delivery, 'due')
  local suspended = held[2] and is_suspended(held[1], held[2])
  if suspended then suspend(id, held[1], held[2]) end
  if suspended or not held[2] then return redis.call('SREM', key('pending'), id) end
  redis.call('HINCRBY', delivery, 'attempts', 1)
  redis.call('ZADD', carried, now + args.lease_ms, id)
  table.insert(taken, {id, redis.call('HGETALL', delivery)})
end

while #taken < args.limit and looks < 1000 do
  looks = looks + 1
  local receiver = redis.call('ZRANGEBYSCORE', key('receivers'), '-inf', instant, 'LIMIT', 0, 1)[1]
  if not receiver then break end
  local waiting, carried = key('waiting', receiver), key('carried', receiver)

  -- A lease that ran out: that courier died, and nobody knows what it was answered.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', carried, '-inf', now)) do
    log_try(id, args.lease_ms, 0, 'the courier was lost')
    redis.call('ZREM', carried, id)
    redis.call('ZADD', waiting, now, id)
  end
  local function room() return redis.call('ZCARD', carried) < args.per_receiver end
  local id = room() and redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, 1)[1]
  if id then
    redis.call('ZREM', waiting, id)
    take(id, carried)
  end

  -- Behind the others, while more is due; not before a lease ends, where there is no room.
  local look = first(carried)
  local due = room() and first(waiting)
  if due then look = math.min(look or math.huge, math.max(instant, due)) end
  if look then
    redis.call('ZADD', key('receivers'), look, receiver)
  else
    redis.call('ZREM', key('receivers'), receiver)
  end
end
return taken
