-- uses: webhooks, clock
-- Lease webhook deliveries that are due. Shares take turns; within a share, its receivers; a receiver
-- has at most `per_receiver` in flight over all couriers. At this courier (`in_flight`, by share) a
-- share may have no more in flight than sender threads would still be free: alone it gets half of
-- them, and however many hang, some are left for the next. Above half of that it serves only receivers
-- that have none in flight. Returns {{{id, share, delivery fields}, ...}, ms now}.
local taken, looks = {}, 0
local instant = turn / 1000 -- finer than `now`, so that receivers served in one millisecond keep their order

local function first(set)
  return tonumber(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2])
end

-- An expired lease: nobody knows whether the try was made, so it spends none of the schedule. A
-- delivery that kills its courier each time waits longer each time, and is given up in the end.
local function lose(id, receiver)
  local delivery = key('delivery', id)
  redis.call('ZREM', key('carried', receiver), id)
  if redis.call('EXISTS', delivery) == 0 then return redis.call('SREM', key('pending'), id) end
  log_try(id, args.lease_ms, 0, 'the courier was lost')
  local lost = redis.call('HINCRBY', delivery, 'lost', 1)
  if lost >= args.most_lost then
    redis.call('HSET', delivery, 'state', 'dead')
    return redis.call('SREM', key('pending'), id)
  end
  local due = now
  if lost > 1 then due = now + math.min(args.lease_ms * 2 ^ (lost - 2), args.longest_wait_ms) end
  redis.call('ZADD', key('waiting', receiver), due, id)
  redis.call('HSET', delivery, 'queued', now)
  if lost > 1 then redis.call('HSET', delivery, 'due', due) end
end

-- If the clock went back after the first delivery was queued, date it anew: it waits no longer than it
-- was to wait then. Those behind it are due later than it is, so their turn comes at later looks.
local function redate_first(waiting)
  local id, due = unpack(redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES'))
  local queued = id and tonumber(redis.call('HGET', key('delivery', id), 'queued') or 0)
  if not id or queued <= now then return end
  due = now + math.max(0, tonumber(due) - queued)
  redis.call('ZADD', waiting, due, id)
  redis.call('HSET', key('delivery', id), 'due', due, 'queued', now)
end

-- The clock went back: nobody's turn is where it was, so every receiver is looked at now.
local function look_at_all()
  for _, share in ipairs(redis.call('ZRANGE', key('shares'), 0, -1)) do
    redis.call('ZADD', key('shares'), 0, share)
    for _, receiver in ipairs(redis.call('ZRANGE', key('receivers', share), 0, -1)) do
      redis.call('ZADD', key('receivers', share), instant, receiver)
    end
  end
end

local function take(id, share, receiver)
  local delivery = key('delivery', id)
  local held = redis.call('HMGET', delivery, 'tenant', 'url')
  redis.call('HDEL', delivery, 'due')
  local suspended = held[2] and is_suspended(held[1], held[2])
  if suspended then suspend(id, held[1], held[2]) end
  if suspended or not held[2] then return redis.call('SREM', key('pending'), id) end
  redis.call('HINCRBY', delivery, 'attempts', 1)
  redis.call('ZADD', key('carried', receiver), now + args.lease_ms, id)
  table.insert(taken, {id, share, redis.call('HGETALL', delivery)})
  redis.call('ZADD', key('shares'), 'XX', turn + #taken, share)
  args.in_flight[share] = (args.in_flight[share] or 0) + 1
end

-- Would `factor` times the share's deliveries in flight still be fewer than the free threads?
local function is_below(share, factor)
  return factor * (args.in_flight[share] or 0) < args.limit - #taken
end

-- Serve the receiver whose turn it is in this share. Returns false if none is due.
local function serve(share)
  local receivers = key('receivers', share)
  local receiver = redis.call('ZRANGEBYSCORE', receivers, '-inf', instant, 'LIMIT', 0, 1)[1]
  if not receiver then return false end
  looks = looks + 1
  local waiting, carried = key('waiting', receiver), key('carried', receiver)
  clamp(carried, args.lease_ms, args.lease_ms, 100)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', carried, '-inf', now)) do lose(id, receiver) end
  redate_first(waiting)
  local function room(most) return redis.call('ZCARD', carried) < most end
  local function allowed() return is_below(share, 2) and args.per_receiver or 1 end
  local id = room(allowed()) and redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, 1)[1]
  if id then
    redis.call('ZREM', waiting, id)
    take(id, share, receiver)
    redate_first(waiting)
  end

  -- Its next turn: behind the others while more is due; when a lease ends, if the receiver has no
  -- room; in a second, if only its share has no room.
  local look = first(carried)
  local due = room(args.per_receiver) and first(waiting)
  local soonest = room(allowed()) and instant or now + 1000
  if due then look = math.min(look or math.huge, math.max(soonest, due)) end
  if look then
    redis.call('ZADD', receivers, look, receiver)
  else
    leave_share(receiver, share)
  end
  return true
end

if now + 1000 < tonumber(redis.call('GET', key('clock')) or 0) then look_at_all() end
redis.call('SET', key('clock'), now)
local shares = redis.call('ZRANGE', key('shares'), 0, -1) -- the longest unserved first
while #shares > 0 do
  local more = {}
  for _, share in ipairs(shares) do
    if looks < 1000 and is_below(share, 1) and serve(share) then table.insert(more, share) end
  end
  shares = more
end
return {taken, now}
