-- Notes that an owner has a session until an end, and forgets some of those whose
-- last end has passed. It is idempotent by nature.
--
-- KEYS[1]  sorted set: owner by name, all of score 0
-- KEYS[2]  sorted set: owner by the end of his last session, ms
-- ARGV     1 owner  2 end, ms
-- Reply    1
local FORGET = 100

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- Each call adds one at most, so the sets do not grow beyond those alive for long.
local past = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'LIMIT', 0, FORGET)
for _, owner in ipairs(past) do
  redis.call('ZREM', KEYS[1], owner)
  redis.call('ZREM', KEYS[2], owner)
end

local ends = math.max(tonumber(ARGV[2]), tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or '0'))
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', ends), ARGV[1])

local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, string.format('%.0f', tonumber(last))) end
return 1
