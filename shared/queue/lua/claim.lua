-- Take a queued job under a fresh lease token: queued -> processing.
-- Answers {job fields, input fields}, or nil where there is nothing to claim: a job in quarantine is
-- there only for a worker that has nothing else in hand.
local job = load_job(args.id)
if not job or job.status ~= 'queued' then return nil end
if tonumber(job.not_before or 0) > now then return nil end
if job.quarantined and not args.alone then return nil end

redis.call('HINCRBY', key('job', args.id), 'attempts', 1)
job.claims = redis.call('HINCRBY', key('job', args.id), 'claims', 1)
redis.call('HSET', key('job', args.id), 'status', 'processing', 'token', args.token,
  'worker', args.worker, 'started', now)
-- How far the lane's messages have been served, told by a job of which there was but one.
if not job.rings and not job.not_before then
  redis.call('HSET', key('served'), job.lane, job.rung)
end
redis.call('HDEL', key('job', args.id), 'rings', 'not_before')
leave_lane(args.id, job)
-- Apart from the queued jobs, so that a dead worker is noticed however many of those there are.
redis.call('ZREM', key('due'), args.id)
redis.call('ZADD', key('leased'), now + args.lease_ms, args.id)
-- Noted before anything is stored. The janitor moves the date nearer when the lease is lost.
redis.call('ZADD', key('sweep'), now + args.retention_ms, attempt_folder(job, args.id))
return {redis.call('HGETALL', key('job', args.id)), redis.call('HGETALL', key('input', job.input))}
