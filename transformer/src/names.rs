//! Names of calls to numbers, with what the name alone decides.
//!
//! Every line is looked up here, so the usual name (at most 16 bytes) is compared as two integers. Numbers are of this process;
//! segments have their own, in order of first appearance, so nothing here shows in an output.

use std::hash::{BuildHasher, RandomState};

use rastro_model::{
    Category,
    syscall::{category_of, is_system_call, never_returns},
};
use rustc_hash::FxHashMap;

use crate::details::is_relevant;

/// Where the table is emptied before the next chunk. Real recordings have some hundred names.
const FORGET_ABOVE: usize = 4096;

/// What becomes of an event of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A system call.
    Call,
    /// A system call whose enter event is all there is.
    NeverReturns,
    /// The source says that it lost events.
    Drop,
    /// No system call.
    Other,
}

/// A name with its category, and what follows from it.
#[derive(Debug)]
pub(crate) struct Name {
    text: Box<[u8]>,
    digest: Digest,
    /// The category of the stored call.
    pub(crate) category: Category,
    /// What becomes of an event of this name.
    pub(crate) class: Class,
    /// Whether its arguments matter to security.
    pub(crate) is_relevant: bool,
    /// The same for every category of one name: what an exit is matched to its enter by.
    pub(crate) pairing: u32,
}

impl Name {
    /// The name as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// The name as the source prints it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text
    }
}

/// First and last eight bytes, length and category: up to 16 bytes of name this is the name itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Digest {
    head: u64,
    tail: u64,
    rest: u64,
}

impl Digest {
    #[inline]
    fn new(name: &[u8], category: Option<Category>) -> Self {
        let (head, tail) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
                (Some(head), Some(tail)) => {
                    (u64::from(u32::from_le_bytes(*head)), u64::from(u32::from_le_bytes(*tail)))
                }
                _ => (name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
            },
        };
        let category = category.map_or(u64::from(u8::MAX), |category| u64::from(category.number()));
        Self { head, tail, rest: (name.len() as u64) << 8 | category }
    }

    #[inline]
    fn hash(self, seed: u64) -> usize {
        let mixed = u128::from(self.head ^ seed) * u128::from(self.tail ^ self.rest.rotate_left(32) ^ !seed);
        let folded = (mixed as u64) ^ ((mixed >> 64) as u64) ^ self.rest;
        (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }
}

/// Open addressing, at most half full.
#[derive(Debug)]
pub(crate) struct Names {
    /// Number + 1 of a name; 0 for an empty place.
    places: Vec<u32>,
    known: Vec<Name>,
    pairing: FxHashMap<Box<[u8]>, u32>,
    /// Recordings come from outside: without a seed of our own, their names could be chosen to collide.
    seed: u64,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            places: vec![0; 1024],
            known: Vec::new(),
            pairing: FxHashMap::default(),
            seed: RandomState::new().hash_one(0_u8),
        }
    }

    /// Empties the table if hostile input has swollen it. Numbers handed out before are void.
    pub(crate) fn begin_chunk(&mut self) {
        if self.known.len() > FORGET_ABOVE {
            *self = Self::new();
        }
    }

    /// The number of a name with a category; `None` where the format declares no category.
    #[inline]
    pub(crate) fn number(&mut self, name: &[u8], category: Option<Category>) -> u32 {
        let digest = Digest::new(name, category);
        let mask = self.places.len() - 1;
        let mut place = digest.hash(self.seed) & mask;
        while let Some(number) = self.places[place].checked_sub(1) {
            let other = &self.known[number as usize];
            if other.digest == digest && (name.len() <= 16 || *other.text == *name) {
                return number;
            }
            place = (place + 1) & mask;
        }
        self.insert(name, category, digest)
    }

    pub(crate) fn get(&self, number: u32) -> &Name {
        &self.known[number as usize]
    }

    #[cold]
    fn insert(&mut self, name: &[u8], category: Option<Category>, digest: Digest) -> u32 {
        let next = self.pairing.len() as u32;
        let number = self.known.len() as u32;
        self.known.push(Name {
            text: name.into(),
            digest,
            category: category.unwrap_or_else(|| category_of(name)),
            class: class_of(name),
            is_relevant: is_relevant(name),
            pairing: *self.pairing.entry(name.into()).or_insert(next),
        });
        if self.known.len() * 2 > self.places.len() {
            self.places = vec![0; self.places.len() * 2];
            for number in 0..self.known.len() as u32 {
                self.place(number);
            }
        } else {
            self.place(number);
        }
        number
    }

    fn place(&mut self, number: u32) {
        let mask = self.places.len() - 1;
        let mut place = self.known[number as usize].digest.hash(self.seed) & mask;
        while self.places[place] != 0 {
            place = (place + 1) & mask;
        }
        self.places[place] = number + 1;
    }
}

fn class_of(name: &[u8]) -> Class {
    if name == b"drop" {
        Class::Drop
    } else if !is_system_call(name) {
        Class::Other
    } else if never_returns(name) {
        Class::NeverReturns
    } else {
        Class::Call
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_has_one_pairing_whatever_its_category() {
        let mut names = Names::new();
        let file = names.number(b"read", Some(Category::File));
        let socket = names.number(b"read", Some(Category::Net));
        let undeclared = names.number(b"read", None);
        assert!(file != socket && file != undeclared && socket != undeclared);
        assert_eq!(names.get(file).pairing, names.get(socket).pairing);
        assert_eq!(names.get(file).pairing, names.get(undeclared).pairing);
        assert_eq!(names.get(undeclared).category, Category::File);
        assert_eq!(names.number(b"read", Some(Category::Net)), socket);
    }

    proptest! {
        #[test]
        fn different_names_have_different_numbers(
            words in proptest::collection::vec(proptest::collection::vec(97_u8..100, 0..24), 0..300),
        ) {
            let mut names = Names::new();
            let mut expected: HashMap<Vec<u8>, u32> = HashMap::new();
            for word in &words {
                let next = expected.len() as u32;
                let number = *expected.entry(word.clone()).or_insert(next);
                prop_assert_eq!(names.number(word, Some(Category::Net)), number);
                prop_assert_eq!(names.get(number).bytes(), &word[..]);
            }
        }

        #[test]
        fn a_table_that_grows_finds_what_it_held(count in 500_usize..3000) {
            let mut names = Names::new();
            for pass in 0..2 {
                for number in 0..count {
                    let found = names.number(format!("call{number}").as_bytes(), None);
                    prop_assert_eq!(found, number as u32, "pass {}", pass);
                }
            }
        }
    }
}
