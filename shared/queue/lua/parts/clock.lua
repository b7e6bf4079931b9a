-- What to do about Redis's clock when it jumps. Nothing else in the scripts notices.
local HOLD_MS = 3600000

-- Has the clock jumped forward? `latest_ms`: the latest that it can show, by its caller's own clock.
local function jumped()
  return args.latest_ms and now > args.latest_ms
end

-- After a jump by a minute or more nothing is archived, erased or swept for an hour: what looks expired
-- may not be, and a clock that is wrong may be set right meanwhile.
local function hold_if_jumped()
  if jumped() and now > args.latest_ms + 60000 then redis.call('SET', key('hold'), 1, 'PX', HOLD_MS) end
end

local function on_hold()
  return redis.call('EXISTS', key('hold')) == 1
end

-- The clock may have gone back since a set's dates were written. Bring those later than `longest` ms
-- from now, the most that any can mean, to `to` ms from now. Returns how many were brought.
local function clamp(set, longest, to, limit)
  local after = string.format('(%.0f', now + longest)
  local late = redis.call('ZRANGEBYSCORE', set, after, '+inf', 'LIMIT', 0, limit)
  for _, member in ipairs(late) do redis.call('ZADD', set, now + to, member) end
  return #late
end
