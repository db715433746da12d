-- Notes a code that is about to be sent to a user.
--
-- KEYS[1]  the user's hash: f wrong answers and i codes sent, each "ms:attempt ..."
--          with the newest last; c digest of the code sent last, ce its end, ms;
--          s the last time step; p the attempts that passed last
-- ARGV     1 attempt  2 digest  3 life, ms  4 gap between codes, ms
--          5 how many codes  6 within how many ms  7 how many wrong answers
--          8 how long the hash is kept, ms
-- Reply    {ms to wait, 0 for none; 1 if the code before still stands}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local life, gap, window = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])

local v = redis.call('HMGET', KEYS[1], 'f', 'i', 'c', 'ce')

local function int(n) return string.format('%.0f', n) end

local function since(text, d)
  local at, words = {}, {}
  for ms, a in string.gmatch(text or '', '(%d+):(%S+)') do
    if now - ms < d then
      at[#at + 1] = tonumber(ms)
      words[#words + 1] = ms .. ':' .. a
    end
  end
  return at, words
end

for _, a in string.gmatch(v[2] or '', '(%d+):(%S+)') do
  if a == ARGV[1] then return {0, 0} end
end
local wrong = since(v[1], life)
local max = tonumber(ARGV[7])
if #wrong >= max then return {wrong[#wrong - max + 1] + life - now, 0} end

local sent, words = since(v[2], window)
if #sent > 0 then
  local wait = sent[#sent] + gap - now
  if wait > 0 and v[3] and now < tonumber(v[4]) then return {0, 1} end
  max = tonumber(ARGV[5])
  if #sent >= max then wait = math.max(wait, sent[#sent - max + 1] + window - now) end
  if wait > 0 then return {wait, 0} end
end
words[#words + 1] = int(now) .. ':' .. ARGV[1]
redis.call('HSET', KEYS[1], 'i', table.concat(words, ' '), 'c', ARGV[2], 'ce', int(now + life))
redis.call('PEXPIRE', KEYS[1], ARGV[8])
return {0, 0}
