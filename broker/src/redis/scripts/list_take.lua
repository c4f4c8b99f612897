-- Moves documents from the head of a list to the list of those that are being handled, for the one reader that holds the lock.
-- What was moved before and is not settled yet comes first, so that a reader's successor begins where it stopped.
-- KEYS: lock, the list, taken, aside.
-- ARGV: reader, lease in ms, how many documents, how many bytes at most (but one), size in bytes beyond which one is put aside.
-- Returns: 'other' (somebody else reads), 'aside' with the size of a document that was put aside, or 'mine' with the documents.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return { 'other', {} }
end
-- Not with every look: each renewal is a write.
if not owner or redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) * 2 / 3 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
local documents = redis.call('LRANGE', KEYS[3], 0, -1)
if #documents > 0 then
  return { 'mine', documents }
end
documents = redis.call('LRANGE', KEYS[2], 0, tonumber(ARGV[3]) - 1)
if #documents == 0 then
  return { 'mine', {} }
end
if #documents[1] > tonumber(ARGV[5]) then
  redis.call('RPUSH', KEYS[4], documents[1])
  redis.call('LTRIM', KEYS[4], -100, -1)
  redis.call('LPOP', KEYS[2])
  return { 'aside', { tostring(#documents[1]) } }
end
local moved, bytes = {}, 0
for _, document in ipairs(documents) do
  bytes = bytes + #document
  if #moved > 0 and bytes > tonumber(ARGV[4]) then
    break
  end
  moved[#moved + 1] = document
end
for from = 1, #moved, 1000 do
  redis.call('RPUSH', KEYS[3], unpack(moved, from, math.min(from + 999, #moved)))
end
redis.call('LTRIM', KEYS[2], #moved, -1)
return { 'mine', moved }
