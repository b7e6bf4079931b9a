-- processing -> succeeded | failed, if the token still holds. Answers 1, or 0 to a late finisher.
if not owns(args.id, args.token) then return 0 end
local job = load_job(args.id)
conclude(args.id, job, args.status, args.outcome)
return 1
