//! What a consumer holds: its partitions, and the chunks of them that are handed out or about to be. No I/O.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use crate::{Chunk, Delivery};

/// Id of an entry of a Redis stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::redis) struct EntryId {
    milliseconds: u64,
    sequence: u64,
}

impl EntryId {
    pub(in crate::redis) fn parse(text: &str) -> Option<Self> {
        let (milliseconds, sequence) = text.split_once('-')?;
        Some(Self { milliseconds: milliseconds.parse().ok()?, sequence: sequence.parse().ok()? })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.sequence)
    }
}

/// Reads new entries only.
pub(in crate::redis) const NEW: &str = ">";
/// Reads what is pending for this consumer first, from its beginning.
const FROM_THE_START: &str = "0-0";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    /// Waits to be handed out.
    Ready,
    /// Handed out.
    Out,
    /// Given back: to be read again.
    Released,
}

/// Where a delivery's chunk lies in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) struct Place {
    pub(in crate::redis) partition: u32,
    pub(in crate::redis) entry: EntryId,
    pub(in crate::redis) size: u64,
}

#[derive(Debug)]
struct Partition {
    cursor: String,
    /// To be given to another consumer once nothing of it is held.
    is_draining: bool,
    entries: BTreeMap<EntryId, u64>,
}

impl Partition {
    fn new() -> Self {
        Self { cursor: FROM_THE_START.to_owned(), is_draining: false, entries: BTreeMap::new() }
    }
}

/// What a consumer holds.
#[derive(Debug, Default)]
pub(in crate::redis) struct Held {
    /// Epoch of the connection on which the leases were last confirmed.
    pub(in crate::redis) epoch: u64,
    partitions: BTreeMap<u32, Partition>,
    places: HashMap<u64, (Place, Whereabouts)>,
    /// By delivery id, hence in order within each stream.
    ready: BTreeMap<u64, Delivery>,
    last_id: u64,
    /// Where the next reading begins, so that no partition is always first.
    turn: usize,
}

impl Held {
    /// Redis has said which partitions are this consumer's: some as before, some anew.
    pub(in crate::redis) fn lease(&mut self, epoch: u64, share: usize, kept: &[u32], fresh: &[u32]) {
        self.epoch = epoch;
        let owned: HashSet<u32> = kept.iter().chain(fresh).copied().collect();
        let lost: Vec<u32> = self.partitions.keys().copied().filter(|one| !owned.contains(one)).collect();
        for partition in lost {
            self.lose(partition);
        }
        for partition in fresh {
            // Answers may have gone astray since: whatever is pending is looked at again.
            FROM_THE_START
                .clone_into(&mut self.partitions.entry(*partition).or_insert_with(Partition::new).cursor);
        }
        for partition in kept {
            self.partitions.entry(*partition).or_insert_with(Partition::new);
        }
        for (rank, partition) in self.partitions.values_mut().enumerate() {
            partition.is_draining = rank >= share;
        }
    }

    /// The partition is another's. What is handed out can still be acknowledged; what waits here is the other's to hand out.
    pub(in crate::redis) fn lose(&mut self, partition: u32) {
        if let Some(lost) = self.partitions.remove(&partition) {
            for id in lost.entries.values() {
                if self.places.get(id).is_some_and(|(_, whereabouts)| *whereabouts != Whereabouts::Out) {
                    self.places.remove(id);
                    self.ready.remove(id);
                }
            }
        }
    }

    /// Partitions to be given back now: beyond the fair share, and nothing of them is held.
    pub(in crate::redis) fn to_give_up(&self) -> Vec<u32> {
        let is_spare = |partition: &Partition| partition.is_draining && partition.entries.is_empty();
        self.partitions
            .iter()
            .filter(|(_, partition)| is_spare(partition))
            .map(|(number, _)| *number)
            .collect()
    }

    /// All partitions.
    pub(in crate::redis) fn partitions(&self) -> Vec<u32> {
        self.partitions.keys().copied().collect()
    }

    /// Partitions to read from, each with its cursor.
    pub(in crate::redis) fn next_reading(&mut self) -> Vec<(u32, String)> {
        let mut reading: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, partition)| !partition.is_draining || partition.cursor != NEW)
            .map(|(number, partition)| (*number, partition.cursor.clone()))
            .collect();
        if !reading.is_empty() {
            self.turn = (self.turn + 1) % reading.len();
            reading.rotate_left(self.turn);
        }
        reading
    }

    /// Whether a chunk that was read is to be handed out; else it is in somebody's hands already.
    pub(in crate::redis) fn wants(&self, partition: u32, entry: EntryId) -> bool {
        let Some(partition) = self.partitions.get(&partition) else { return false };
        let whereabouts = partition.entries.get(&entry).and_then(|id| self.places.get(id));
        whereabouts.is_none_or(|(_, whereabouts)| *whereabouts == Whereabouts::Released)
    }

    /// A chunk was read that is wanted.
    pub(in crate::redis) fn put(&mut self, place: Place, chunk: Chunk) {
        let Some(partition) = self.partitions.get_mut(&place.partition) else { return };
        let id = *partition.entries.entry(place.entry).or_insert_with(|| {
            self.last_id += 1;
            self.last_id
        });
        self.places.insert(id, (place, Whereabouts::Ready));
        self.ready.insert(id, Delivery { id, chunk });
    }

    pub(in crate::redis) fn set_cursor(&mut self, partition: u32, cursor: &str) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            cursor.clone_into(&mut partition.cursor);
        }
    }

    /// Hands out what is ready: about `max_bytes` of payload, at least one chunk if there is any.
    pub(in crate::redis) fn hand_out(&mut self, max_bytes: usize) -> Vec<Delivery> {
        let mut handed = Vec::new();
        let mut bytes = 0_usize;
        while let Some(first) = self.ready.first_entry() {
            let size = first.get().chunk.payload.compressed_length();
            if !handed.is_empty() && bytes.saturating_add(size) > max_bytes {
                break;
            }
            bytes += size;
            let delivery = first.remove();
            if let Some((_, whereabouts)) = self.places.get_mut(&delivery.id) {
                *whereabouts = Whereabouts::Out;
            }
            handed.push(delivery);
        }
        handed
    }

    /// Where the chunks of these deliveries lie; unknown ones are left out.
    pub(in crate::redis) fn places(&self, ids: &[u64]) -> Vec<Place> {
        ids.iter().filter_map(|id| self.places.get(id)).map(|(place, _)| *place).collect()
    }

    /// These are acknowledged.
    pub(in crate::redis) fn forget(&mut self, ids: &[u64]) {
        for id in ids {
            if let Some((place, _)) = self.places.remove(id)
                && let Some(partition) = self.partitions.get_mut(&place.partition)
                && partition.entries.get(&place.entry) == Some(id)
            {
                partition.entries.remove(&place.entry);
            }
            self.ready.remove(id);
        }
    }

    /// These are given back: they are read again before anything later.
    pub(in crate::redis) fn release(&mut self, ids: &[u64]) {
        for id in ids {
            let Some((place, whereabouts)) = self.places.get_mut(id) else { continue };
            if *whereabouts != Whereabouts::Out {
                continue;
            }
            let place = *place;
            match self.partitions.get_mut(&place.partition) {
                Some(partition) if partition.entries.get(&place.entry) == Some(id) => {
                    *whereabouts = Whereabouts::Released;
                    FROM_THE_START.clone_into(&mut partition.cursor);
                }
                // The partition went to another consumer in between, and the chunk with it.
                _ => {
                    self.places.remove(id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rastro_model::{Position, StreamId};

    use super::*;
    use crate::Payload;

    fn place(partition: u32, sequence: u64) -> Place {
        Place { partition, entry: EntryId { milliseconds: 1, sequence }, size: 10 }
    }

    fn chunk(number: u64) -> Chunk {
        Chunk {
            stream: StreamId(1),
            start: Position::new(0, number),
            end: Position::new(0, number + 1),
            previous: Position::new(0, number),
            first_line: number,
            lines: 1,
            cut_lines: 0,
            gap: None,
            node: String::new(),
            path: Vec::new(),
            header: None,
            read_ns: 0,
            payload: Payload::compress(b"line\n").unwrap(),
        }
    }

    fn numbers(deliveries: &[Delivery]) -> Vec<u64> {
        deliveries.iter().map(|delivery| delivery.chunk.first_line).collect()
    }

    fn holding(count: u64) -> Held {
        let mut held = Held::default();
        held.lease(1, 4, &[], &[0, 1]);
        for number in 0..count {
            held.put(place(0, number), chunk(number));
        }
        held
    }

    #[test]
    fn entry_ids_are_read_and_sort_as_redis_sorts_them() {
        for text in ["0-0", "1526919030474-55", "18446744073709551615-18446744073709551615"] {
            assert_eq!(EntryId::parse(text).unwrap().to_string(), text);
        }
        assert!(EntryId::parse("9-9").unwrap() < EntryId::parse("10-0").unwrap());
        assert!(EntryId::parse("5").is_none() && EntryId::parse("a-b").is_none());
    }

    #[test]
    fn what_is_released_comes_again_under_its_id_and_before_later_chunks() {
        let mut held = holding(3);
        let out = held.hand_out(usize::MAX);
        held.set_cursor(0, NEW);
        held.put(place(0, 3), chunk(3));
        held.release(&[out[2].id, out[1].id, 999]);
        assert!(held.next_reading().contains(&(0, "0-0".to_owned())));
        let wanted: Vec<u64> =
            (0..4).filter(|number| held.wants(0, EntryId { milliseconds: 1, sequence: *number })).collect();
        assert_eq!(wanted, [1, 2]);
        held.put(place(0, 1), chunk(1));
        held.put(place(0, 2), chunk(2));
        let again = held.hand_out(usize::MAX);
        assert_eq!(numbers(&again), [1, 2, 3]);
        assert_eq!((again[0].id, again[1].id), (out[1].id, out[2].id));
    }

    #[test]
    fn a_lost_partition_keeps_only_what_is_handed_out() {
        let mut held = holding(2);
        let out = held.hand_out(1);
        held.lease(2, 4, &[1], &[]);
        assert!(held.hand_out(usize::MAX).is_empty());
        assert_eq!(held.places(&[out[0].id]), [place(0, 0)]);
        assert!(!held.wants(0, EntryId { milliseconds: 1, sequence: 1 }));
        held.release(&[out[0].id]);
        assert!(held.places(&[out[0].id]).is_empty());
    }

    #[test]
    fn a_partition_beyond_the_share_is_given_up_once_it_is_empty() {
        let mut held = holding(0);
        held.put(place(1, 7), chunk(0));
        held.set_cursor(0, NEW);
        held.set_cursor(1, NEW);
        let out = held.hand_out(usize::MAX);
        held.lease(1, 1, &[0, 1], &[]);
        assert!(held.to_give_up().is_empty());
        assert_eq!(held.next_reading(), [(0, NEW.to_owned())]);
        held.forget(&[out[0].id]);
        assert_eq!(held.to_give_up(), [1]);
        held.lease(1, 2, &[0, 1], &[]);
        assert!(held.to_give_up().is_empty());
    }
}
