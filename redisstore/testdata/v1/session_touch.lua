-- Counts uses of a session and restarts its idle life.
--
-- KEYS[1]  the session's hash
-- ARGV     1 attempt  2 idle life, ms, 0 leaves it  3 how long the ended record
--          stays readable, ms  4 uses to add
-- Reply    1, or 0 if the session has ended or expired
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local v = redis.call('HMGET', KEYS[1], 'e', 'ae', 'rv', 'ta', 'n')
if not v[1] then return 0 end
local ends, access = tonumber(v[1]), tonumber(v[2])
if v[4] == ARGV[1] then return 1 end
if v[3] or now >= math.max(ends, access) then return 0 end

local function int(n) return string.format('%.0f', n) end
local uses = tonumber(v[5] or '0') + ARGV[4]
local longer = tonumber(ARGV[2]) > 0 and now < ends and now + ARGV[2] > ends
if longer then ends = now + ARGV[2] end
redis.call('HSET', KEYS[1], 'ta', ARGV[1], 'u', int(now), 'n', int(uses), 'e', int(ends))
if longer then redis.call('PEXPIREAT', KEYS[1], int(math.max(ends, access) + ARGV[3])) end
return 1
