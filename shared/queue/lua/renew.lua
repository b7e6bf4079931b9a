-- uses: jobs
-- Renew the leases of these [id, token] pairs; without `lease_ms`, only check them.
-- Returns the ids that this worker no longer owns.
local lost = {}
for _, pair in ipairs(args.leases) do
  if not owns(pair[1], pair[2]) then
    table.insert(lost, pair[1])
  elseif args.lease_ms then
    redis.call('ZADD', key('leased'), now + args.lease_ms, pair[1])
  end
end
return lost
