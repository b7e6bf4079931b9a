-- uses: jobs, conclude
-- processing -> succeeded | failed, if the token still holds. Returns 1, or 0 to a late finisher.
-- Idempotent: a worker that never got the answer may ask again and gets 1.
local ended = redis.call('HMGET', key('job', args.id), 'status', 'ended_by')
if ended[1] == args.status and ended[2] == args.token then return 1 end
if not owns(args.id, args.token) then return 0 end
local job = load_job(args.id)
conclude(args.id, job, args.status, args.outcome)
redis.call('HSET', key('job', args.id), 'ended_by', args.token)
-- A success shows that storage works: jobs that wait for it start their timeout anew.
if args.status == 'succeeded' then redis.call('SET', key('stored'), turn, 'XX', 'KEEPTTL') end
return 1
