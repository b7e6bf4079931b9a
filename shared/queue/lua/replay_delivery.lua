-- uses: webhooks
-- Send a delivery again, at once and then by the schedule from its start; lifts its URL's suspension.
-- One that is being sent now is left alone. Returns 1, or 0 if the tenant has no such delivery.
local delivery = key('delivery', args.id)
local held = redis.call('HMGET', delivery, 'tenant', 'url')
if held[1] ~= args.tenant then return 0 end
redis.call('ZREM', key('suspended', args.tenant), held[2])
if not redis.call('ZSCORE', key('carried', receiver_of(held[1], held[2])), args.id) then
  redis.call('HDEL', delivery, 'spent', 'lost')
  queue_delivery(args.id, held[1], held[2], now)
end
return 1
