-- uses: webhooks
-- Record the outcome of one try of a delivery. Its count of attempts is the token. A try that spends
-- nothing was never made: the receiver was not asked, so nothing is logged or learned about it.
-- Returns 1, or 0 if the delivery was taken again or erased meanwhile.
local delivery = key('delivery', args.id)
local held = redis.call('HMGET', delivery, 'attempts', 'tenant', 'url', 'state')
if held[1] ~= tostring(args.token) or held[4] ~= 'pending' then return 0 end
local receiver = receiver_of(held[2], held[3])
local silent = share_of(receiver) ~= held[2] -- read first: forgotten with its last delivery
unqueue_delivery(args.id, held[2], held[3])
redis.call('HDEL', delivery, 'due')
if args.spends then
  log_try(args.id, args.took_ms, args.status, args.error)
  redis.call('HINCRBY', delivery, 'spent', 1)
  redis.call('HDEL', delivery, 'lost')
  silent = args.status == 0
end
if args.state == 'pending' then
  queue_delivery(args.id, held[2], held[3], now + args.delay_ms)
elseif args.state == 'suspended' then
  suspend(args.id, held[2], held[3])
else
  redis.call('HSET', delivery, 'state', args.state)
end
place(receiver, silent)
return 1
