-- Closes all requests for approval of a user that are pending or approved. It
-- is idempotent by nature.
--
-- KEYS[1]  sorted set of the user's, of push_open.lua
-- KEYS[2]  sorted set of those that are pending
-- ARGV     1 what comes before the id in the key of a hash, which lies in the
--          slot of the others
-- Reply    1
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local st = redis.call('HGET', ARGV[1] .. id, 'st')
  if st == 'pending' or st == 'success' then redis.call('HSET', ARGV[1] .. id, 'st', 'closed') end
  redis.call('ZREM', KEYS[2], id)
end
return 1
