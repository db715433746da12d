-- Takes the tokens of a backend session, once, for logging them out.
-- KEYS  backend session [, the client session that owns it]
-- ARGV  holder, lease ms, only if the session is gone (1, 0), ms kept beside the session, longest believed lease ms,
--       longest believed call ms
-- Gives as backend_acquire.lua: done with the tokens, dead, wait, or alive with the tokens and how long the
-- session lives
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local f = redis.call('HMGET', KEYS[1], 'v', 'access', 'refresh', 'exp', 'life', 'out', 'outlease', 'opening', 'pin')
local n = function(i) return tonumber(f[i] or '0') end
local bare = function(state, wait) return {state, 0, '', '', 0, 0, 0, wait, 0} end
local answer = function(state, wait)
  local left = 0
  if n(5) > 0 then left = n(4) - now end
  return {state, n(1), f[2], f[3] or '', left, n(5), 0, wait, n(9)}
end

if not f[2] then
  -- Nothing was committed, or everything is logged out. A commit that comes late must not count.
  if KEYS[2] and ARGV[3] == '0' then
    redis.call('HSET', KEYS[1], 'state', 'ended')
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
  end
  return bare('dead', 0)
end
if ARGV[3] == '1' then
  if not KEYS[2] then return answer('alive', 0) end
  -- The session's ends and reason of its end: see session_create.lua.
  local s = redis.call('HMGET', KEYS[2], 'e', 'ae', 'rv')
  local ends = math.max(tonumber(s[1] or '0'), tonumber(s[2] or '0'))
  if not s[1] then ends = n(8) end
  if not s[3] and ends > now then
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ends - now + ARGV[4]))
    return answer('alive', ends - now)
  end
end
-- Tokens that are being renewed, or may be, are not presented by anybody else: see backend_acquire.lua.
local lease = redis.call('HMGET', KEYS[1], 'holder', 'lease', 'call', 'doubt')
local till = 0
for i = 2, 4 do
  local at, most = tonumber(lease[i] or '0'), now + tonumber(ARGV[6])
  if i == 2 then most = now + tonumber(ARGV[5]) end
  if (lease[1] or i == 4) and at > now and at <= most then till = math.max(till, at) end
end
if till > 0 then return bare('wait', till - now) end
if f[6] and f[6] ~= ARGV[1] and n(7) > now and n(7) <= now + tonumber(ARGV[2]) then
  return bare('wait', n(7) - now)
end
redis.call('HSET', KEYS[1], 'out', ARGV[1], 'outlease', string.format('%.0f', now + tonumber(ARGV[2])))
if KEYS[2] then
  redis.call('HSET', KEYS[1], 'state', 'ended')
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return answer('done', 0)
