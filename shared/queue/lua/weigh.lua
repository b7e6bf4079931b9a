-- Is there a job to claim, in which lane, and how large is its photo?
-- Answers {lane, pixels or 0 where nobody has looked yet, 1 where it must run alone}, or nil.
local job = redis.call('HMGET', key('job', args.id), 'status', 'not_before', 'lane', 'input',
  'quarantined')
if job[1] ~= 'queued' or tonumber(job[2] or 0) > now then return nil end
return {job[3], redis.call('HGET', key('input', job[4]), 'pixels') or 0, job[5] or 0}
