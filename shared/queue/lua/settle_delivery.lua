-- Record a delivery's try: delivered, dead, or due again after a delay. The attempt is the token.
local delivery = key('delivery', args.id)
if redis.call('HGET', delivery, 'attempts') ~= tostring(args.attempt) then return 0 end
redis.call('HSET', delivery, 'state', args.state, 'answer', args.answer, 'tried', now)
if args.state == 'pending' then
  redis.call('ZADD', key('deliveries'), now + args.delay_ms, args.id)
else
  redis.call('ZREM', key('deliveries'), args.id)
end
return 1
