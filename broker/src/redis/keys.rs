//! Names of the keys, and positions as the scripts compare them.

use rastro_model::{Position, StreamId};

use crate::StreamEnd;

/// The keys of one namespace. Their common `{…}` puts all of them into one slot of a cluster: a script works on several of them.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    /// Hash: layout version, number of partitions.
    pub(super) meta: String,
    /// Hash: stream → where it stands.
    pub(super) ends: String,
    /// Hash: partition → bytes of its chunks.
    pub(super) bytes: String,
    /// Stream of at most one entry, added with every append: what idle consumers wait for.
    pub(super) bell: String,
    /// Hash: partition → consumer, its epoch, end of the lease.
    pub(super) leases: String,
    /// Sorted set: consumer → until when it counts as alive.
    pub(super) consumers: String,
    /// Stream: chunks that could not be decoded.
    pub(super) damaged: String,
    /// Hash that says where streams stand to those who append: `ends`, or that of a list.
    pub(super) authority: String,
    /// Further keys beside these, with the types that they must have.
    pub(super) others: Vec<(String, &'static str)>,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let key = |name: &str| format!("{{{prefix}}}:{name}");
        Self {
            meta: key("meta"),
            ends: key("ends"),
            bytes: key("bytes"),
            bell: key("bell"),
            leases: key("leases"),
            consumers: key("consumers"),
            damaged: key("damaged"),
            authority: key("ends"),
            others: Vec::new(),
            prefix: prefix.to_owned(),
        }
    }

    /// Stream: the chunks of a partition.
    pub(super) fn chunks(&self, partition: u32) -> String {
        format!("{{{}}}:{partition}:chunks", self.prefix)
    }

    /// All keys with the types that they must have.
    pub(super) fn types(&self, partitions: u32) -> Vec<(String, &'static str)> {
        let fixed = [
            (&self.meta, "hash"),
            (&self.ends, "hash"),
            (&self.bytes, "hash"),
            (&self.bell, "stream"),
            (&self.leases, "hash"),
            (&self.consumers, "zset"),
            (&self.damaged, "stream"),
        ];
        let fixed = fixed.into_iter().map(|(key, kind)| (key.clone(), kind));
        let fixed = fixed.chain(self.others.iter().cloned());
        fixed.chain((0..partitions).map(|partition| (self.chunks(partition), "stream"))).collect()
    }
}

/// The partition of a stream. Its id is a hash already.
pub(super) fn partition_of(stream: StreamId, partitions: u32) -> u32 {
    (stream.0 % u64::from(partitions)) as u32
}

/// A position as text that sorts as positions do.
pub(super) fn encode_position(position: Position) -> String {
    format!("{:020}{:020}", position.generation, position.offset)
}

pub(super) fn decode_position(text: &str) -> Option<Position> {
    let (generation, offset) = (text.get(..20)?, text.get(20..40)?);
    (text.len() == 40).then_some(Position::new(generation.parse().ok()?, offset.parse().ok()?))
}

/// Reads `<position> <next line> <when>`.
pub(super) fn decode_end(text: &str) -> Option<StreamEnd> {
    let mut words = text.split(' ');
    let position = decode_position(words.next()?)?;
    Some(StreamEnd { position, next_line: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_sort_as_text_and_survive_it() {
        let positions = [
            Position::START,
            Position::new(0, 9),
            Position::new(0, 10),
            Position::new(0, (1 << 53) + 1),
            Position::new(0, u64::MAX),
            Position::new(2, 0),
            Position::new(u64::MAX, u64::MAX),
        ];
        let texts = positions.map(encode_position);
        assert!(texts.is_sorted_by(|a, b| a < b));
        for (position, text) in positions.iter().zip(&texts) {
            assert_eq!(decode_position(text), Some(*position));
            let end = StreamEnd { position: *position, next_line: u64::MAX };
            assert_eq!(decode_end(&format!("{text} {} 1700000000", u64::MAX)), Some(end));
        }
        for bad in ["", "1", "x", &"9".repeat(40), &format!("{}é", "0".repeat(39))] {
            assert_eq!(decode_position(bad), None);
        }
        assert_eq!(decode_end(&"0".repeat(40)), None);
    }
}
