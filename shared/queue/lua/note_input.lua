-- Note an input before its bytes are stored, so that one never used is swept.
redis.call('HSET', key('input', args.id), 'tenant', args.tenant, 'refs', 0)
if args.bytes then redis.call('HSET', key('input', args.id), 'bytes', args.bytes) end
redis.call('ZADD', key('sweep'), now + args.expiry_ms, args.tenant .. '/inputs/' .. args.id)
return now + args.expiry_ms
