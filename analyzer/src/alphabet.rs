//! Symbols for the names of system calls.
//!
//! Detectors work on small numbers. Those numbers belong to one profile: a segment has its own dictionary, whose entries are
//! translated once a segment. Names are compared, never numbers of an architecture; the category plays no part.

use rustc_hash::FxHashMap;

/// A system call inside one profile.
pub type Symbol = u16;

/// Most names that one profile tells apart. Linux has fewer than 500 calls: what exceeds this is noise or malice, and all of it
/// shares one name.
pub const MAX_NAMES: usize = 16_384;

/// Longest name that is told apart, bytes.
pub const MAX_NAME_LENGTH: usize = 128;

/// What names beyond the limit are called.
const OTHER: &str = "<other>";

/// Names and their symbols, numbered in the order in which they were met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alphabet {
    names: Vec<String>,
    symbols: FxHashMap<String, Symbol>,
}

impl Alphabet {
    /// Number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All names; the place of a name is its symbol.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The symbol of `name`, if it is known.
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        self.symbols.get(cut(name)).copied()
    }

    /// The symbol of `name`, which becomes known; once there are [`MAX_NAMES`], every new name is `<other>`.
    pub fn learn(&mut self, name: &str) -> Symbol {
        if let Some(symbol) = self.symbol(name) {
            return symbol;
        }
        let is_nearly_full = self.names.len() >= MAX_NAMES - 1;
        self.intern(if is_nearly_full { OTHER } else { name }, MAX_NAMES)
    }

    /// The symbol of `name`, which becomes known if there is room for fewer than `limit` names; else the symbol `limit`.
    pub fn intern(&mut self, name: &str, limit: usize) -> Symbol {
        let name = cut(name);
        if let Some(&symbol) = self.symbols.get(name) {
            return symbol;
        }
        if self.names.len() >= limit {
            return limit as Symbol;
        }
        let symbol = self.names.len() as Symbol;
        self.names.push(name.to_owned());
        self.symbols.insert(name.to_owned(), symbol);
        symbol
    }

    /// The name of `symbol`; `<other>` for a symbol that shares many names.
    pub fn name(&self, symbol: Symbol) -> &str {
        self.names.get(usize::from(symbol)).map_or(OTHER, String::as_str)
    }

    /// An alphabet of exactly these names, or `None` if one occurs twice, is too long, or there are too many.
    pub(crate) fn from_names(names: Vec<String>) -> Option<Self> {
        if names.len() > MAX_NAMES || names.iter().any(|name| name.len() > MAX_NAME_LENGTH) {
            return None;
        }
        let symbols: FxHashMap<String, Symbol> =
            names.iter().enumerate().map(|(symbol, name)| (name.clone(), symbol as Symbol)).collect();
        (symbols.len() == names.len()).then_some(Self { names, symbols })
    }
}

/// What is told apart of a name.
fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME_LENGTH);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_unknown_names_have_two_symbols_until_the_limit() {
        let mut alphabet = Alphabet::default();
        assert_eq!(alphabet.intern("read", 2), 0);
        assert_eq!(alphabet.intern("write", 2), 1);
        assert_eq!(alphabet.intern("read", 2), 0);
        assert_eq!((alphabet.intern("open", 2), alphabet.intern("close", 2)), (2, 2));
        assert_eq!(alphabet.name(2), "<other>");
        assert_eq!(alphabet.symbol("open"), None);
    }

    #[test]
    fn names_beyond_the_limit_share_one_that_is_known() {
        let mut alphabet = Alphabet::default();
        let symbols: Vec<Symbol> =
            (0..MAX_NAMES + 10).map(|name| alphabet.learn(&name.to_string())).collect();
        assert_eq!(alphabet.len(), MAX_NAMES);
        assert!(symbols[MAX_NAMES - 1..].iter().all(|&symbol| symbol == symbols[MAX_NAMES - 1]));
        assert_eq!(alphabet.name(symbols[MAX_NAMES]), OTHER);
        assert_eq!(alphabet.learn("7"), 7);
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let mut alphabet = Alphabet::default();
        let long = "é".repeat(100);
        assert_eq!(alphabet.intern(&long, MAX_NAMES), 0);
        assert_eq!(alphabet.intern(&long, MAX_NAMES), 0);
        assert!(alphabet.name(0).len() <= MAX_NAME_LENGTH);
        assert!(Alphabet::from_names(vec!["a".into(), "a".into()]).is_none());
    }
}
