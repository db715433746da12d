-- Writes a new session, unless its id is taken by another one.
--
-- KEYS[1]  the session's hash
-- ARGV     1 attempt  2 unchanging data, JSON  3 client id  4 generation
--          5 idle life, ms  6 life of its access token, ms, 0 for none
--          7 how long the ended record stays readable, ms
-- Reply    {'created' | 'exists', now, field, value, ...}
--
-- Fields: d data, k client, g generation, gf oldest generation under the grace,
-- m when the newest access token was made, e end of the idle life, ae end of
-- the access token, ca attempt of the creation. Later ones: rv reason of its
-- end, cl closed for refreshing, u last use, n uses, ta and ra attempts of touch
-- and revoke, r0..r3 the last changes of generation, x the last other answer.
-- All times are milliseconds.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local found = redis.call('HGETALL', KEYS[1])
if #found > 0 then
  local r = {'exists', now}
  for i = 1, #found, 2 do
    if found[i] == 'ca' and found[i + 1] == ARGV[1] then r[1] = 'created' end
  end
  for _, v in ipairs(found) do r[#r + 1] = v end
  return r
end

local ends, access = now + ARGV[5], 0
if tonumber(ARGV[6]) > 0 then access = now + ARGV[6] end
local function int(n) return string.format('%.0f', n) end
local fields = {
  'd', ARGV[2], 'k', ARGV[3], 'g', ARGV[4], 'gf', ARGV[4], 'm', int(now),
  'e', int(ends), 'ae', int(access), 'ca', ARGV[1],
}
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('PEXPIREAT', KEYS[1], int(math.max(ends, access) + ARGV[7]))
return {'created', now, unpack(fields)}
