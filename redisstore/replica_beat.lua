-- Notes that a replica is alive and which secrets it knows and uses, and forgets
-- the replicas whose time is over. It is idempotent by nature.
--
-- KEYS[1]  hash: replica -> until when it counts as alive, ms, a space, its text
-- KEYS[2]  hash: secret's fingerprint, a space, seen|first|last -> ms
-- ARGV     1 replica, or nothing to ask only  2 ms for which it counts as alive, 0: it
--          is gone  3 its text  4 the secret that it uses, or nothing  5… all that it
--          knows, none if it does not serve
-- Reply    the time, ms, then the text of each one alive
local KEEP = 86400000 -- the roster, when nobody is left to write it

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function int(n) return string.format('%.0f', n) end

local life = tonumber(ARGV[2])
if life > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], int(now + life) .. ' ' .. ARGV[3])
  redis.call('PEXPIRE', KEYS[1], int(KEEP))
elseif ARGV[1] ~= '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
for i = 5, #ARGV do redis.call('HSETNX', KEYS[2], ARGV[i] .. ' seen', int(now)) end
if ARGV[4] ~= '' then
  redis.call('HSETNX', KEYS[2], ARGV[4] .. ' first', int(now))
  redis.call('HSET', KEYS[2], ARGV[4] .. ' last', int(now))
end

local reply = {int(now)}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local stop = string.find(all[i + 1], ' ', 1, true)
  if tonumber(string.sub(all[i + 1], 1, stop - 1)) > now then
    reply[#reply + 1] = string.sub(all[i + 1], stop + 1)
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return reply
