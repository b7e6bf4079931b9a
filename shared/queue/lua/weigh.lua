-- Is there a job to claim, in which lane, and how large is its photo?
-- Answers {lane, pixels or nothing where nobody has looked yet}, or nil.
local job = redis.call('HMGET', key('job', args.id), 'status', 'not_before', 'lane', 'input')
if job[1] ~= 'queued' or tonumber(job[2] or 0) > now then return nil end
return {job[3], redis.call('HGET', key('input', job[4]), 'pixels') or 0}
