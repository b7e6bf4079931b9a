-- Record what came of a delivery's try. The number of tries is the token. Answers 1, or 0 where the
-- delivery was taken again, or erased, meanwhile.
local held = redis.call('HMGET', key('delivery', args.id), 'attempts', 'tenant', 'url', 'state')
if held[1] ~= tostring(args.token) or held[4] ~= 'pending' then return 0 end
unqueue_delivery(args.id, held[3])
log_try(args.id, args.took_ms, args.status, args.error)
redis.call('HDEL', key('delivery', args.id), 'due')
if args.state == 'pending' then
  queue_delivery(args.id, held[3], now + args.delay_ms)
elseif args.state == 'suspended' then
  suspend(args.id, held[2], held[3])
else
  redis.call('HSET', key('delivery', args.id), 'state', args.state)
end
return 1
