-- uses: names, jobs, conclude
-- Hand a job back after a delay: processing -> queued. Its attempt is spent only if `spend` says so.
-- Returns {released | failed | lost, lane}.
if not owns(args.id, args.token) then return {'lost', ''} end
local job = load_job(args.id)

if args.patience_ms then
  -- What lies ahead was dated before the clock went back.
  local since = math.min(tonumber(job.outage_since or now), now)
  redis.call('SETNX', key('stored'), 0)
  if tonumber(redis.call('GET', key('stored'))) > turn then redis.call('SET', key('stored'), turn) end
  redis.call('PEXPIRE', key('stored'), args.retention_ms)
  if tonumber(redis.call('GET', key('stored'))) > math.min(tonumber(job.outage_seen or turn), turn) then
    -- Some result was stored since this job's last try, so this is a new outage. Each new one starts
    -- with the delays of those before, so that a job whose own files always fail ends too.
    since = now - args.delay_ms * redis.call('HINCRBY', key('job', args.id), 'outages', 1)
  end
  redis.call('HSET', key('job', args.id), 'outage_since', since, 'outage_seen', turn)
  if now - since >= args.patience_ms then
    conclude(args.id, job, 'failed', args.outcome)
    return {'failed', ''}
  end
end
if not args.spend then redis.call('HINCRBY', key('job', args.id), 'attempts', -1) end
redis.call('HDEL', key('job', args.id), 'token')
redis.call('ZADD', key('sweep'), now + args.linger_ms, attempt_folder(job, args.id))
if args.delay_ms > 0 then
  redis.call('HSET', key('job', args.id), 'not_before', now + args.delay_ms)
  enqueue(args.id, job.tenant, job.lane, now + args.delay_ms)
  return {'released', job.lane}
end
enqueue(args.id, job.tenant, 'reclaimed', now + args.reclaimed_ms)
return {'released', 'reclaimed'}
