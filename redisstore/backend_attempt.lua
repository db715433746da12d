-- Counts login attempts of one credential: two places, each free, open until a time, or rejected.
-- KEYS  the account's or user's hash
-- ARGV  id, step (begin, accepted, rejected, void, forgiven), digest, window ms, ms kept
-- Gives as backend_acquire.lua: done, wait or stopped
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local f = redis.call('HMGET', KEYS[1], 'try', 'try1', 'try2')
local bare = function(state, wait) return {state, 0, '', '', 0, 0, 0, wait, 0} end
local same = f[1] == ARGV[3]

if ARGV[2] == 'forgiven' then
  redis.call('HDEL', KEYS[1], 'try', 'try1', 'try2', 'nb', 'nbwith', 'fails')
  return bare('done', 0)
end
if ARGV[2] == 'accepted' then
  if same then redis.call('HDEL', KEYS[1], 'try', 'try1', 'try2') end
  return bare('done', 0)
end
if ARGV[2] ~= 'begin' then
  for i = 2, 3 do
    if same and f[i] and string.match(f[i], '^(%S+) ') == ARGV[1] then
      if ARGV[2] == 'rejected' then
        redis.call('HSET', KEYS[1], 'try' .. (i - 1), 'rejected')
      else
        redis.call('HDEL', KEYS[1], 'try' .. (i - 1))
      end
    end
  end
  return bare('done', 0)
end

if not same then
  redis.call('HDEL', KEYS[1], 'try1', 'try2')
  f[2], f[3] = false, false
end
local free, wait = 0, 0
for i = 3, 2, -1 do
  if not f[i] then
    free = i - 1
  else
    local id, till = string.match(f[i], '^(%S+) (%d+)$')
    if id == ARGV[1] then return bare('done', 0) end
    if till and tonumber(till) > now then wait = math.max(wait, tonumber(till) - now) end
  end
end
if free == 0 then
  if wait > 0 then return bare('wait', wait) end
  return bare('stopped', 0)
end
redis.call('HSET', KEYS[1], 'try', ARGV[3], 'try' .. free, ARGV[1] .. ' ' .. string.format('%.0f', now + tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return bare('done', 0)
