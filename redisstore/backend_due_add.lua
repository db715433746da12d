-- Has an owner looked at after some time.
-- KEYS  the duties of one backend and account   ARGV  owner, ms
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2]), ARGV[1])
return 1
