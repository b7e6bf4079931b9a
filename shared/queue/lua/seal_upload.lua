-- Settle, once, which version of an upload its jobs will read: the one that the first of them found.
-- From then on its signed address is refused. Returns that version, or nil if the upload is gone.
local photo = key('input', args.id)
if redis.call('HGET', photo, 'tenant') ~= args.tenant then return nil end
redis.call('HSETNX', photo, 'sealed', args.version)
return redis.call('HGET', photo, 'sealed')
