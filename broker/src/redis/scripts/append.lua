-- Accepts chunks, each only where it follows its stream's end. One chunk is accepted whole or not at all.
-- KEYS: ends, bytes, bell, then the chunk stream of every partition that is touched.
-- ARGV: bound in bytes (0: none), then for each chunk: stream, index of its key, partition, '1' if the stream must be known,
--       position that it follows, position of its end, number of the next line, the encoded chunk.
-- Positions are 40 decimal digits: they compare as text, for a number of Lua holds 53 bits only.
-- Returns: for each settled chunk '1' (new) or '0' (repeat); why the next one is not settled; where its stream stands.
local limit = tonumber(ARGV[1])
local total = 0
for _, bytes in ipairs(redis.call('HVALS', KEYS[2])) do
  total = total + tonumber(bytes)
end
local seconds = redis.call('TIME')[1]
local settled, reason, standing = {}, 'done', ''
local accepted = false
for i = 2, #ARGV, 8 do
  local stream, payload = ARGV[i], ARGV[i + 7]
  local held = redis.call('HGET', KEYS[1], stream)
  local position = held and string.sub(held, 1, 40)
  if position and ARGV[i + 5] <= position then
    settled[#settled + 1] = '0'
  elseif position and ARGV[i + 4] ~= position then
    reason, standing = 'order', position
    break
  elseif not position and ARGV[i + 3] == '1' then
    reason = 'unknown'
    break
  elseif limit > 0 and total > 0 and total + #payload > limit then
    reason = 'full'
    break
  else
    redis.call('XADD', KEYS[3 + tonumber(ARGV[i + 1])], '*', 'c', payload)
    redis.call('HSET', KEYS[1], stream, ARGV[i + 5] .. ' ' .. ARGV[i + 6] .. ' ' .. seconds)
    redis.call('HINCRBY', KEYS[2], ARGV[i + 2], #payload)
    total = total + #payload
    settled[#settled + 1] = '1'
    accepted = true
  end
end
if accepted then
  redis.call('XADD', KEYS[3], 'MAXLEN', '1', '*', 'r', '')
end
return { table.concat(settled), reason, standing }
