-- Hands chunks to the consumer that holds their partition's lease: first those pending for it behind a cursor, then new ones.
-- KEYS: leases, then the chunk stream of every partition asked for.
-- ARGV: group, consumer, epoch of its connection, about how many bytes, then for each partition: number, cursor ('>': only new).
-- Returns: partition, id and chunk of each entry, one after the other; partition and cursor of each partition; partitions lost.
local group, me, epoch, max_bytes = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local entries, cursors, lost, reading = {}, {}, {}, {}
for i = 5, #ARGV, 2 do
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  local owner, of_epoch
  if value then
    owner, of_epoch = string.match(value, '^(%S+) (%d+) ')
  end
  if owner == me and of_epoch == epoch then
    reading[#reading + 1] = { partition = ARGV[i], cursor = ARGV[i + 1], key = KEYS[2 + (i - 5) / 2] }
  else
    lost[#lost + 1] = ARGV[i]
  end
end
local bytes, progress = 0, true
while progress and bytes < max_bytes do
  progress = false
  for _, one in ipairs(reading) do
    if not one.empty and bytes < max_bytes then
      local reply = redis.pcall('XREADGROUP', 'GROUP', group, me, 'COUNT', 1, 'STREAMS', one.key, one.cursor)
      local entry = reply and not reply.err and reply[1][2][1]
      if reply and reply.err then
        -- The stream or its group is gone: the lease has to be taken anew, which makes both.
        redis.call('HDEL', KEYS[1], one.partition)
        lost[#lost + 1] = one.partition
        one.empty = true
      elseif not entry and one.cursor == '>' then
        one.empty = true
      elseif not entry then
        one.cursor = '>'
        progress = true
      else
        if one.cursor ~= '>' then
          one.cursor = entry[1]
        end
        if entry[2] then
          local chunk = entry[2][2]
          bytes = bytes + #chunk
          entries[#entries + 1] = one.partition
          entries[#entries + 1] = entry[1]
          entries[#entries + 1] = chunk
        else
          -- Removed by someone else while it was pending.
          redis.call('XACK', one.key, group, entry[1])
        end
        progress = true
      end
    end
  end
end
for _, one in ipairs(reading) do
  cursors[#cursors + 1] = one.partition
  cursors[#cursors + 1] = one.cursor
end
return { entries, cursors, lost }
