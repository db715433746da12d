-- Begins an epoch of an owner. It is idempotent by nature, and never goes back.
--
-- KEYS[1]  when it began, ms
-- ARGV     1 when, ms, 0 for now  2 for how many ms it is kept
-- Reply    when it began, ms
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function int(n) return string.format('%.0f', n) end

local at = tonumber(ARGV[1])
if at == 0 then at = now end
at = math.max(at, tonumber(redis.call('GET', KEYS[1]) or '0'))
redis.call('SET', KEYS[1], int(at), 'PX', int(tonumber(ARGV[2])))
return at
