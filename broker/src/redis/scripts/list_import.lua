-- Turns the documents that were taken into chunks of the queue: they leave the one as these come into the other.
-- KEYS: lock, taken, ends, bytes, bell, then the chunk stream of every partition that is touched.
-- ARGV: reader, lease in ms, bound in bytes (0: none), how many documents, how many streams, for each of these: stream, where it stands
--       now and the number of its next line; then for each chunk: index of its key, partition, the encoded chunk.
-- Returns: 'done', 'full', 'other' (somebody else reads now), or 'changed' (these are not the documents that were taken).
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 'other'
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[4]) then
  return 'changed'
end
local limit, total = tonumber(ARGV[3]), 0
for _, bytes in ipairs(redis.call('HVALS', KEYS[4])) do
  total = total + tonumber(bytes)
end
local first = 6 + tonumber(ARGV[5]) * 3
local size = 0
for i = first, #ARGV, 3 do
  size = size + #ARGV[i + 2]
end
if limit > 0 and total > 0 and total + size > limit then
  return 'full'
end
for i = 6, first - 1, 3 do
  set_end(KEYS[3], ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
for i = first, #ARGV, 3 do
  redis.call('XADD', KEYS[5 + tonumber(ARGV[i])], '*', 'c', ARGV[i + 2])
  redis.call('HINCRBY', KEYS[4], ARGV[i + 1], #ARGV[i + 2])
end
redis.call('DEL', KEYS[2])
redis.call('XADD', KEYS[5], 'MAXLEN', '1', '*', 'r', '')
return 'done'
