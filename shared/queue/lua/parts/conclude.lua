-- uses: names, jobs, held, webhooks
-- Queue the webhook's events for this end. Without `events`: the end itself, but no review event.
local function tell(id, job, status, outcome)
  local webhook = cjson.decode(job.request).webhook
  if not webhook or webhook == cjson.null then return end
  local wanted = {}
  for _, event in ipairs(webhook.events or {'job.' .. status}) do wanted[event] = true end
  local delivery = 'msg_' .. string.sub(id, 5)
  if wanted['job.' .. status] then announce(delivery, job, webhook.url, 'job.' .. status) end
  if wanted['job.needs_review'] and status == 'succeeded' then
    local subject = cjson.decode(outcome).subject
    if subject and subject.needs_review then
      announce(delivery .. '_review', job, webhook.url, 'job.needs_review')
    end
  end
end

-- The only way into a terminal state: leave all sets, set the expiry, queue webhooks, wake waiters.
local function conclude(id, job, status, outcome)
  redis.call('HSET', key('job', id), 'status', status, 'finished', now)
  redis.call('HDEL', key('job', id), 'token')
  if outcome then
    redis.call('HSET', key('job', id), 'outcome', outcome)
    hold_more(key('job', id), job.tenant, text_bytes(#outcome))
  end
  redis.call('ZREM', key('due'), id)
  redis.call('ZREM', key('leased'), id)
  leave_lane(id, job)
  -- Its first date: the sweeper archives the record then.
  redis.call('ZADD', key('expiry'), now + args.record_ms, id)
  if job.claims then
    if status == 'succeeded' then
      redis.call('ZREM', key('sweep'), attempt_folder(job, id))
    else
      redis.call('ZADD', key('sweep'), now + args.linger_ms, attempt_folder(job, id))
    end
  end
  tell(id, job, status, outcome)
  redis.call('PUBLISH', key('finished'), id)
end
