-- Is there a job to claim, in which lane, and how large are its photo and its backdrop?
-- Returns {lane, the photo's pixels or 0 if unknown, 1 if it must run alone, further pixels}, or nil.
local job = redis.call('HMGET', key('job', args.id), 'status', 'not_before', 'lane', 'input',
  'quarantined', 'extra_pixels')
if job[1] ~= 'queued' or tonumber(job[2] or 0) > now then return nil end
return {job[3], redis.call('HGET', key('input', job[4]), 'pixels') or 0, job[5] or 0, job[6] or 0}
