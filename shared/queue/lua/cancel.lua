-- uses: jobs, conclude
-- queued | processing -> canceled. A running worker finds its lease lost at its next stage.
-- Returns missing | canceled | terminal.
local job = load_job(args.id)
if not job or job.tenant ~= args.tenant then return 'missing' end
if job.status ~= 'queued' and job.status ~= 'processing' then return 'terminal' end
conclude(args.id, job, 'canceled', nil)
return 'canceled'
