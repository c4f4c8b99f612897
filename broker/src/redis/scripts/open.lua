-- Says how the namespace is laid out, and lays it out if it is new. Always tries to write, so that a read-only replica shows itself.
-- KEYS: meta. ARGV: layout version, number of partitions wished for.
redis.call('HSETNX', KEYS[1], 'layout', ARGV[1])
redis.call('HSETNX', KEYS[1], 'partitions', ARGV[2])
return redis.call('HMGET', KEYS[1], 'layout', 'partitions')
