-- Judges one answer to a second factor, and uses up what proved it.
--
-- KEYS[1]  the hash of factor_issue.lua
-- ARGV     1 attempt  2 '1' if it is proved already  3 time step, '0' for none
--          4 how many wrong answers  5 within how many ms
--          6 how long the hash is kept, ms  7... digests of the text given
-- Reply    'passed', 'wrong', or 'dead' for the last wrong one and all beyond
local KEPT = 4 -- attempts that passed, so that a repeat gets the first answer

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local max, within = tonumber(ARGV[4]), tonumber(ARGV[5])

local v = redis.call('HMGET', KEYS[1], 'f', 'p', 's', 'c', 'ce')

local function int(n) return string.format('%.0f', n) end

local passed = {}
for a in string.gmatch(v[2] or '', '%S+') do
  if a == ARGV[1] then return 'passed' end
  passed[#passed + 1] = a
end
local wrong, again = {}, false
for ms, a in string.gmatch(v[1] or '', '(%d+):(%S+)') do
  if now - ms < within then
    wrong[#wrong + 1] = ms .. ':' .. a
    again = again or a == ARGV[1]
  end
end
if #wrong >= max then return 'dead' end
if again then return 'wrong' end

local ok, step = ARGV[2] == '1', tonumber(ARGV[3])
local last = tonumber(v[3] or '0')
if step > last then ok, last = true, step end
if v[4] and now < tonumber(v[5]) then
  for i = 7, #ARGV do
    if ARGV[i] == v[4] then ok = true end
  end
end

if ok then
  passed[#passed + 1] = ARGV[1]
  if #passed > KEPT then table.remove(passed, 1) end
  redis.call('HSET', KEYS[1], 's', int(last), 'p', table.concat(passed, ' '))
else
  wrong[#wrong + 1] = int(now) .. ':' .. ARGV[1]
  redis.call('HSET', KEYS[1], 'f', table.concat(wrong, ' '))
end
local dead = #wrong >= max
if ok or dead then redis.call('HDEL', KEYS[1], 'c', 'ce') end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if ok then return 'passed' end
return dead and 'dead' or 'wrong'
