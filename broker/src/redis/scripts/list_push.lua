-- Puts documents at the end of a list, each run of them only where it follows its stream's end. A run is put whole or not at all.
-- KEYS: the list, written (stream -> where it stands in the list).
-- ARGV: bound in documents (0: none), then for each run: stream, '1' if the stream must be known, position that it follows, position of
--       its end, number of the next line, how many documents, and these.
-- Returns: for each settled run '1' (new) or '0' (repeat); why the next one is not settled; where its stream stands.
local limit = tonumber(ARGV[1])
local length = redis.call('LLEN', KEYS[1])
local settled, reason, standing = {}, 'done', ''
local i = 2
while i <= #ARGV do
  local stream, count, first = ARGV[i], tonumber(ARGV[i + 5]), i + 6
  local held = redis.call('HGET', KEYS[2], stream)
  local verdict, position = verdict_on(held, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], limit, length, count)
  if verdict == 'repeat' then
    settled[#settled + 1] = '0'
  elseif verdict == 'new' then
    -- Lua passes a limited number of arguments at once.
    for from = first, first + count - 1, 1000 do
      redis.call('RPUSH', KEYS[1], unpack(ARGV, from, math.min(from + 999, first + count - 1)))
    end
    set_end(KEYS[2], stream, ARGV[i + 3], ARGV[i + 4])
    length = length + count
    settled[#settled + 1] = '1'
  else
    reason, standing = verdict, position or ''
    break
  end
  i = first + count
end
return { table.concat(settled), reason, standing }
