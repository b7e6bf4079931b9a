-- uses: promised, room
-- Note a photo before its bytes are stored, so that it is swept if no job uses it. Its signed URL
-- accepts a PUT for `open_ms`, even after its last job was erased.
-- Returns when it is swept, or what is full: memory | quota.
if short_of_memory(args.memory_share) then return 'memory' end
if args.quota and not promise(args.id, args.tenant, args.bytes, args.quota) then return 'quota' end
if args.open_ms then
  redis.call('HSET', key('input', args.id), 'lingers', now + args.open_ms)
  redis.call('ZADD', key('sweep'), now + args.expiry_ms, upload_name(args.tenant, args.id))
end
return note_input(args.id, args.expiry_ms)
