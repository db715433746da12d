-- Opens a request for approval.
--
-- KEYS[1]  its hash: u the user, d the rest as JSON, m made and e ends, ms,
--          st the status, oa the attempt that opened it, a:<status> the one that
--          moved it there
-- KEYS[2]  sorted set: ids of those that are pending, by end, ms
-- KEYS[3]  sorted set: ids of the user's, by end, ms
-- ARGV     1 attempt  2 id  3 user  4 the rest  5 life, ms  6 how many a user may
--          have  7 how long it can be read after its end, ms
-- Reply    ms to wait, 0 if it was opened
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function int(n) return string.format('%.0f', n) end

if redis.call('HGET', KEYS[1], 'oa') == ARGV[1] then return 0 end
for i = 2, 3 do redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', int(now)) end
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[6]) then
  return redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] - now
end
local ends = now + ARGV[5]
redis.call('HSET', KEYS[1], 'u', ARGV[3], 'd', ARGV[4], 'm', int(now), 'e', int(ends), 'st', 'pending', 'oa', ARGV[1])
redis.call('PEXPIREAT', KEYS[1], int(ends + ARGV[7]))
for i = 2, 3 do
  redis.call('ZADD', KEYS[i], int(ends), ARGV[2])
  -- Lives need not be equal: the set stays as long as its longest.
  local last = redis.call('ZREVRANGE', KEYS[i], 0, 0, 'WITHSCORES')[2]
  redis.call('PEXPIREAT', KEYS[i], int(tonumber(last)))
end
return 0
