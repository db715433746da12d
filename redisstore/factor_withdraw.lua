-- Forgets a code that could not be sent. It is idempotent by nature.
--
-- KEYS[1]  the hash of factor_issue.lua
-- ARGV     1 digest of the code
-- Reply    1
if redis.call('HGET', KEYS[1], 'c') == ARGV[1] then redis.call('HDEL', KEYS[1], 'c', 'ce') end
return 1
