//! sysdig's event categories and their numbers, stable for ever (`SPEC` 1.4).

use serde::{Deserialize, Serialize};

macro_rules! categories {
    ($($variant:ident = $number:literal, $name:literal;)*) => {
        /// A category of system calls. The discriminant is the number in per-call documents.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the table below is the documentation")]
        pub enum Category {
            #[default]
            $($variant = $number),*
        }

        impl Category {
            /// Every category, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name as sysdig prints it (`ipc` and `IPC` are one category).
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The category with this number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

categories! {
    Unknown = 0, "unknown";
    File = 1, "file";
    Net = 2, "net";
    Wait = 3, "wait";
    Ipc = 4, "IPC";
    Memory = 5, "memory";
    Process = 6, "process";
    Sleep = 7, "sleep";
    System = 8, "system";
    Signal = 9, "signal";
    User = 10, "user";
    Time = 11, "time";
    Processing = 12, "processing";
    Other = 13, "other";
    Io = 14, "I/O";
    Scheduler = 15, "scheduler";
    Internal = 16, "internal";
}

impl Category {
    /// The number in per-call documents.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The category of that name, whatever its case; unknown names are [`Category::Unknown`].
    pub fn from_name(name: &[u8]) -> Self {
        Self::known_from_name(name).unwrap_or(Self::Unknown)
    }

    /// The category of that name, whatever its case, if it is one of the table.
    pub fn known_from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|category| category.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_specification() {
        assert_eq!(Category::from_name(b"wait").number(), 3);
        assert_eq!(Category::from_name(b"IPC"), Category::from_name(b"ipc"));
        assert_eq!(Category::from_name(b"no such"), Category::Unknown);
        for category in Category::ALL {
            assert_eq!(Category::from_number(category.number()), Some(*category));
            assert_eq!(Category::from_name(category.name().as_bytes()), *category);
        }
        assert_eq!(Category::from_number(17), None);
    }
}
