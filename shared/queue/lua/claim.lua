-- uses: names, jobs
-- Take a queued job under a fresh lease token: queued -> processing.
-- Returns {job fields, input fields, backdrop fields}, or nil if there is nothing to claim. A job in quarantine can be
-- claimed only by a worker that has no other job in hand.
local job = load_job(args.id)
if not job or job.status ~= 'queued' then return nil end
if is_delayed(job.not_before, job.rung) then return nil end
if job.quarantined and not args.alone then return nil end

redis.call('HINCRBY', key('job', args.id), 'attempts', 1)
job.claims = redis.call('HINCRBY', key('job', args.id), 'claims', 1)
redis.call('HSET', key('job', args.id), 'status', 'processing', 'token', args.token,
  'worker', args.worker, 'started', now)
-- How far the lane's messages have been served. Only a job that was rung once can tell.
if not job.rings and not job.not_before then
  redis.call('HSET', key('served'), job.lane, job.rung)
end
redis.call('HDEL', key('job', args.id), 'rings', 'not_before')
leave_lane(args.id, job)
-- In a set of its own, so that a dead worker is noticed however many jobs are queued.
redis.call('ZREM', key('due'), args.id)
redis.call('ZADD', key('leased'), now + args.lease_ms, args.id)
-- Noted before anything is stored. Losing the lease brings the date nearer.
redis.call('ZADD', key('sweep'), now + args.retention_ms, attempt_folder(job, args.id))
return {redis.call('HGETALL', key('job', args.id)), redis.call('HGETALL', key('input', job.input)),
  job.backdrop and redis.call('HGETALL', key('input', job.backdrop)) or {}}
