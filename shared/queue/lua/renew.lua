-- Renew the leases of these [id, token] pairs. Answers the ids this worker no longer owns.
local lost = {}
for _, pair in ipairs(args.leases) do
  if owns(pair[1], pair[2]) then
    redis.call('ZADD', key('due'), now + args.lease_ms, pair[1])
  else
    table.insert(lost, pair[1])
  end
end
return lost
