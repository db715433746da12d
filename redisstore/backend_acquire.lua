-- Asks for tokens newer than a version, or for the lease to get them.
-- KEYS  backend session [, the client session that owns it]
-- ARGV  holder, version seen, lease ms (0: only look), longest believed time ahead ms, ms an account's record is kept,
--       digest of where and as whom it would log in, whether it can log in for a session (1, 0),
--       ms until the call ends that is about to be made (0: none is), whether such a call must be the only one (1, 0),
--       longest believed lease ms, only if the lease is the holder's already (1, 0)
-- Gives {state, version, access, refresh, ms left, ms of life, failures, ms to wait, pinned (1, 0)}
--
-- Fields: v version, access, refresh, exp their end and life, commit attempts of the last commits; holder, lease its
-- end, call when the holder's call has ended at the latest, doubt the same of holders whose lease was taken over;
-- nb not before, nbwith for whom, fails; state dead or ended, opening, pin, out and outlease of a logout. Times are ms.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local f = redis.call('HMGET', KEYS[1], 'v', 'access', 'refresh', 'exp', 'life', 'fails',
  'state', 'holder', 'lease', 'nb', 'opening', 'nbwith', 'pin', 'call', 'doubt')
local n = function(i) return tonumber(f[i] or '0') end
local answer = function(state, wait)
  local left = 0
  if n(5) > 0 then left = n(4) - now end
  return {state, n(1), f[2] or '', f[3] or '', left, n(5), n(6), wait, n(13)}
end
local bare = function(state, wait) return {state, 0, '', '', 0, 0, 0, wait, 0} end

if KEYS[2] then
  -- The session's ends and reason of its end: see session_create.lua.
  local s = redis.call('HMGET', KEYS[2], 'e', 'ae', 'rv')
  local ends = math.max(tonumber(s[1] or '0'), tonumber(s[2] or '0'))
  if not s[1] then ends = n(11) end
  if s[3] or ends <= now then return bare('gone', 0) end
  if f[7] == 'ended' then return bare('dead', 0) end
  if ARGV[7] == '0' and (f[7] == 'dead' or not f[2]) then return bare('dead', 0) end
end
if f[2] and n(1) > tonumber(ARGV[2]) then return answer('fresh', 0) end

local mine = f[8] == ARGV[1]
local lease, far = tonumber(ARGV[3]), now + tonumber(ARGV[4])
if lease == 0 then return bare('dead', 0) end
if ARGV[11] == '1' and not mine then return bare('wait', 0) end
-- What is further ahead than can be is of a clock that was set back.
local ahead = function(at, most) return at > now and at <= most end
if f[8] and not mine and ahead(n(9), now + tonumber(ARGV[10])) then return bare('wait', n(9) - now) end
if not mine and (f[12] or '') == ARGV[6] and ahead(n(10), far) then return bare('backoff', n(10) - now) end

-- The call of a former holder may be under way until then.
local doubt = 0
if ahead(n(15), far) then doubt = n(15) end
if f[8] and not mine and ahead(n(14), far) then doubt = math.max(doubt, n(14)) end
if doubt > 0 and not mine and ARGV[9] == '1' then return bare('doubt', doubt - now) end

local ms = function(x) return string.format('%.0f', x) end
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'lease', ms(now + lease), 'doubt', ms(doubt))
if tonumber(ARGV[8]) > 0 then
  redis.call('HSET', KEYS[1], 'call', ms(now + ARGV[8]))
elseif not mine then
  redis.call('HDEL', KEYS[1], 'call')
end
if not KEYS[2] then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
return answer('lead', math.max(0, doubt - now))
