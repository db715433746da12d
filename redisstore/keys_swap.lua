-- Replaces the manifest of signing keys, if it is still the one that was read. A
-- repeat finds what it wrote itself: two manifests of different writers are never
-- equal, for each seal in them is.
--
-- KEYS[1]  the manifest
-- ARGV     1 as it was read  2 what is to be there
-- Reply    1 if that is there now, else 0
local now = redis.call('GET', KEYS[1])
if now == ARGV[2] then return 1 end
if now ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
