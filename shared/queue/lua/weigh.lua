-- uses: jobs
-- Is there a job to claim, in which lane, and how large are its photo and its backdrop?
-- Returns {lane, 1 if it must run alone, further pixels, tenant, input id, input fields}, or nil.
local job = redis.call('HMGET', key('job', args.id), 'status', 'not_before', 'lane', 'input',
  'quarantined', 'extra_pixels', 'tenant', 'rung')
if job[1] ~= 'queued' or is_delayed(job[2], job[8]) then return nil end
return {job[3], job[5] or 0, job[6] or 0, job[7], job[4], redis.call('HGETALL', key('input', job[4]))}
