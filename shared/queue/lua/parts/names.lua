-- Storage names, from the templates of shared/storage/keys.py (NAMES).
local function fill(template, parts)
  return (string.gsub(template, '{(%w+)}', parts))
end

-- The parts of a name made from a template, in order; nothing if it was made from another.
local function read(template, name)
  local pattern = string.gsub(string.gsub(template, '[%.%-]', '%%%0'), '{%w+}', '([^/]*)')
  return string.match(name, '^' .. pattern .. '$')
end

local function input_name(tenant, id)
  return fill(NAMES.INPUT, {tenant = tenant, input = id})
end

-- Where a signed address puts an upload, before it is sealed as its input.
local function upload_name(tenant, id)
  return fill(NAMES.UPLOAD, {tenant = tenant, input = id})
end

-- The folder of one claim; its file names are fixed, so it is never listed.
local function attempt_folder(job, id, claim)
  return fill(NAMES.ATTEMPT, {tenant = job.tenant, job = id, claim = claim or job.claims})
end

-- A finished job's record, once Redis has dropped it.
local function archive_name(job, id)
  return fill(NAMES.ARCHIVE, {tenant = job.tenant, job = id})
end

-- The member of `expiry` that stands for an archived job: all that erasing it needs.
local function remains_name(job, id)
  local parts = {tenant = job.tenant, job = id, claims = job.claims or '', input = job.input,
    backdrop = job.backdrop or ''}
  return (string.gsub(fill(NAMES.REMAINS, parts), '/$', '')) -- without a backdrop it ends there
end

-- The id of the job that such a member stands for; nothing if it is a job's id itself.
local function job_of_remains(name)
  local _, id = read(NAMES.REMAINS, name)
  if not id then _, id = read(NAMES.REMAINS, name .. '/') end
  return id
end
