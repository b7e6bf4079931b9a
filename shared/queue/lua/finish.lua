-- processing -> succeeded | failed, if the token still holds. Answers 1, or 0 to a late finisher.
-- Who finished it and never heard so asks again, and is answered 1 again.
local ended = redis.call('HMGET', key('job', args.id), 'status', 'ended_by')
if ended[1] == args.status and ended[2] == args.token then return 1 end
if not owns(args.id, args.token) then return 0 end
local job = load_job(args.id)
conclude(args.id, job, args.status, args.outcome)
redis.call('HSET', key('job', args.id), 'ended_by', args.token)
-- The storage is well: for the patience of those that it failed, where there are any.
if args.status == 'succeeded' then redis.call('SET', key('stored'), turn, 'XX', 'KEEPTTL') end
return 1
