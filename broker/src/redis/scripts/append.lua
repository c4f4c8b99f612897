-- Accepts chunks, each only where it follows its stream's end. One chunk is accepted whole or not at all.
-- KEYS: ends, bytes, bell, then the chunk stream of every partition that is touched.
-- ARGV: bound in bytes (0: none), then for each chunk: stream, index of its key, partition, '1' if the stream must be known,
--       position that it follows, position of its end, number of the next line, the encoded chunk.
-- Returns: for each settled chunk '1' (new) or '0' (repeat); why the next one is not settled; where its stream stands.
local limit = tonumber(ARGV[1])
local total = 0
for _, bytes in ipairs(redis.call('HVALS', KEYS[2])) do
  total = total + tonumber(bytes)
end
local settled, reason, standing = {}, 'done', ''
local accepted = false
for i = 2, #ARGV, 8 do
  local stream, payload = ARGV[i], ARGV[i + 7]
  local held = redis.call('HGET', KEYS[1], stream)
  local verdict, position = verdict_on(held, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], limit, total, #payload)
  if verdict == 'repeat' then
    settled[#settled + 1] = '0'
  elseif verdict == 'new' then
    redis.call('XADD', KEYS[3 + tonumber(ARGV[i + 1])], '*', 'c', payload)
    set_end(KEYS[1], stream, ARGV[i + 5], ARGV[i + 6])
    redis.call('HINCRBY', KEYS[2], ARGV[i + 2], #payload)
    total = total + #payload
    settled[#settled + 1] = '1'
    accepted = true
  else
    reason, standing = verdict, position or ''
    break
  end
end
if accepted then
  redis.call('XADD', KEYS[3], 'MAXLEN', '1', '*', 'r', '')
end
return { table.concat(settled), reason, standing }
