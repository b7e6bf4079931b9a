-- uses: held, room
-- Is there room for one more job, in Redis's memory and in the queue? If so, note the photo that is
-- about to be stored for it.
-- Returns nil, or what is full: memory | queue | tenant | bytes | tenant_bytes.
if short_of_memory(args.memory_share) then return 'memory' end
local full = args.limits and crowded(args.limits, args.tenant, record_bytes({}))
if full then return full end
if args.input then note_input(args.input, args.expiry_ms) end
return nil
