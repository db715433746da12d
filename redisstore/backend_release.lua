-- Ends a lease that brought no tokens, or confirms a logout. Without the lease it does nothing.
-- KEYS  backend session
-- ARGV  holder, outcome (failed, died, out), version, back off ms, owned by a session (1, 0),
--       digest of what failed, for which alone the back off holds
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local f = redis.call('HMGET', KEYS[1], 'v', 'holder', 'out')
local same = (f[1] or '0') == ARGV[3]

if ARGV[2] == 'out' then
  if f[3] ~= ARGV[1] then return 0 end
  redis.call('HDEL', KEYS[1], 'out', 'outlease')
  if same then redis.call('HDEL', KEYS[1], 'access', 'refresh', 'exp', 'life', 'pin') end
  return 1
end
if f[2] ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'holder', 'lease', 'call')
if ARGV[2] == 'failed' then
  redis.call('HINCRBY', KEYS[1], 'fails', 1)
  redis.call('HSET', KEYS[1], 'nb', string.format('%.0f', now + tonumber(ARGV[4])), 'nbwith', ARGV[6])
elseif same then
  redis.call('HDEL', KEYS[1], 'access', 'refresh', 'exp', 'life', 'pin')
  if ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'state', 'dead') end
end
return 1
