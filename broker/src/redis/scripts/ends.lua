-- Where streams stand: in a hash, for each stream the position of its end, the number of its next line, and when it was told (in seconds).
-- Positions are 40 decimal digits: they compare as text, for a number of Lua holds 53 bits only.
-- This text stands in front of the scripts that move ends.

-- What is to be done with a run that follows `previous` and reaches to `last`, where its stream is `held` to stand: 'repeat', 'order'
-- (with where the stream stands), 'unknown', 'full' (of `limit`, 0 for none, `total` is taken and the run takes `size`), or 'new'.
local function verdict_on(held, must_be_known, previous, last, limit, total, size)
  local position = held and string.sub(held, 1, 40)
  if position and last <= position then
    return 'repeat'
  elseif position and previous ~= position then
    return 'order', position
  elseif not position and must_be_known == '1' then
    return 'unknown'
  elseif limit > 0 and total > 0 and total + size > limit then
    return 'full'
  end
  return 'new'
end

local seconds_now = redis.call('TIME')[1]

-- Notes where a stream stands now.
local function set_end(ends, stream, last, next_line)
  redis.call('HSET', ends, stream, last .. ' ' .. next_line .. ' ' .. seconds_now)
end

