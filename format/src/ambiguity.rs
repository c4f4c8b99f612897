//! Which formats a container could abuse through the name of a process in the middle of a line, and why the others are safe.
//!
//! A process name (`comm`) is at most 15 bytes of the container's choice, blanks among them. The reader takes the *longest* name
//! of at most 15 bytes behind which every following fixed field parses. Say the true name is `N`, followed by the fixed fields
//! `F1 … Fm` and the rest of the line. Behind `N` everything parses, so the reader's choice is `N` or longer. A longer choice
//! `N'` swallows the first `k ≥ 1` tokens and reads the tokens behind them as `F1 … Fm`. There are three cases:
//!
//! * **k < m.** Token `k + i` must parse as `Fi`. If for one `i` the grammars of `F(k+i)` and `Fi` have no text in common, the
//!   choice is impossible. The first token of the rest is read as `F(m−k+1)`; where the rest is sysdig's arguments it begins with
//!   `name=`, whose name no container chooses, and which is no number, direction, time, category or event name.
//! * **k = m.** The rest's first token must parse as `F1`: impossible for arguments as before.
//! * **k > m.** `N'` holds all fixed fields and at least one token of the rest. It has at most 15 bytes: where the
//!   shortest possible fixed fields (with a blank before each) and token are longer, the choice is impossible.
//!
//! Where no unbounded text ends the line, exactly `m` tokens follow the true name and fewer than `m` any longer one: there is no
//! other choice. A longer choice is also impossible once the swallowed tokens alone have more than 15 bytes: a whole date and
//! time has at least 19.
//!
//! Of the presets:
//!
//! * `rastro`: the name is followed by number and time. No name holds the time, and the number is the one token before it: the
//!   name is certain, whatever the arguments are.
//! * `sysdig-rich`: `uid dir category type latency rawres` take at least 16 bytes: certain for arguments that begin with `name=`.
//! * `lidds-2019` (`tid dir type`) and `lidds-2021` (`tid type dir`): k ≤ m is impossible, and k > m needs a name, thread id, call
//!   and first argument that together have at most 10 bytes. Thread ids below 100 are the node's own; with one of three
//!   digits, the shortest call (`dup`) and an empty name there remain 4 bytes for a first argument that another follows,
//!   where sysdig prints `fd=3(<f>…)` or `res=5`. Such formats are accepted, and tested under just that condition.
//! * `sysdig-default` and `sysdig-container` are `lidds-2019` with two brackets or more: what room a container has there, it has less
//!   of here, under the same condition.
//!
//! Everything else is refused when it is declared.

use crate::{
    declaration::Step,
    field::{Field, Grammar, Target},
};

/// The longest name that the kernel keeps for a thread (`TASK_COMM_LEN` without its NUL), bytes.
pub(crate) const MAX_COMM_LENGTH: usize = 15;

/// The fewest bytes that the fixed fields behind a name must take before sysdig's arguments: `tid dir type`, a blank before each.
const MIN_FIXED_BEFORE_ARGUMENTS: usize = 8;

/// How sure the name in front of `steps` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// It is the true one, whatever stands at the end of the line.
    Certain,
    /// It is the true one if the line's arguments begin with `name=`.
    IfArgumentsHaveNames,
    /// A container could shift the fields.
    Ambiguous,
}

/// How sure a short text is that `steps` follow.
pub(crate) fn certainty(steps: &[Step]) -> Certainty {
    let fixed_end = steps
        .iter()
        .position(|step| matches!(step.grammar, Grammar::ShortText | Grammar::FreeText))
        .unwrap_or(steps.len());
    let (fixed, rest) = steps.split_at(fixed_end);
    let Some(rest) = rest.first() else { return Certainty::Certain };
    // What the first `count` tokens take at least, separators included.
    let width = |count: usize| -> usize {
        fixed[..count].iter().map(|step| step.before.len().max(1) + minimum_length(step.grammar)).sum()
    };
    if fixed.is_empty() {
        return Certainty::Ambiguous;
    }
    let is_arguments = rest.target == Target::Event(Field::Arguments);
    let mut certainty = Certainty::Certain;
    for swallowed in 1..=fixed.len() {
        if width(swallowed) > MAX_COMM_LENGTH {
            return certainty;
        }
        let clashes = fixed[swallowed..].iter().zip(fixed).any(|(token, read_as)| {
            let (token, read_as) = (token.grammar, read_as.grammar);
            are_disjoint(token, read_as)
        });
        if clashes {
            continue;
        }
        // The token behind the fixed fields is the first of the rest.
        let read_as = fixed[fixed.len() - swallowed].grammar;
        if !is_arguments || read_as == Grammar::Word {
            // A container writes that token, and can write what is asked for.
            return Certainty::Ambiguous;
        }
        certainty = Certainty::IfArgumentsHaveNames;
    }
    if is_arguments && width(fixed.len()) >= MIN_FIXED_BEFORE_ARGUMENTS {
        Certainty::IfArgumentsHaveNames
    } else {
        Certainty::Ambiguous
    }
}

/// The fewest bytes of a field.
const fn minimum_length(grammar: Grammar) -> usize {
    match grammar {
        Grammar::Unsigned | Grammar::Signed | Grammar::Direction => 1,
        Grammar::Time(form) => form.minimum_length(),
        // `net`, `I/O`; `brk`, `dup`, `bpf`.
        Grammar::Category | Grammar::Name => 3,
        Grammar::Word | Grammar::ShortText | Grammar::FreeText => 0,
    }
}

/// Whether no text is both. Numbers and categories may both be `<NA>`; names and directions never are where a text stands in
/// the middle of a format.
fn are_disjoint(a: Grammar, b: Grammar) -> bool {
    use Grammar::{Category, Direction, Name, Signed, Time, Unsigned};
    let is_number = |grammar| matches!(grammar, Unsigned | Signed);
    match (a, b) {
        (Direction, Direction) | (Time(_), Time(_)) => false,
        (Direction | Time(_), Unsigned | Signed | Category | Name | Direction | Time(_))
        | (Unsigned | Signed | Category | Name, Direction | Time(_)) => !is_bare_time(a, b),
        (Name, other) | (other, Name) => is_number(other),
        _ => false,
    }
}

/// Whether one is a time that may be a mere number and the other is a number.
fn is_bare_time(a: Grammar, b: Grammar) -> bool {
    use Grammar::{Name, Signed, Time, Unsigned};
    let bare = |grammar| matches!(grammar, Time(form) if form.minimum_length() == 1);
    let number = |grammar| matches!(grammar, Unsigned | Signed | Name);
    bare(a) && number(b) || number(a) && bare(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    fn certainty_of_name(format: &str) -> Certainty {
        let format = Format::parse(format).unwrap();
        let name = format.steps().iter().position(|step| step.grammar == Grammar::ShortText).unwrap();
        certainty(&format.steps()[name + 1..])
    }

    #[test]
    fn the_presets_are_as_certain_as_the_proof_says() {
        let of = |name: &str| certainty_of_name(Format::named(name).unwrap().text());
        assert_eq!(of("rastro"), Certainty::Certain);
        assert_eq!(of("sysdig-rich"), Certainty::IfArgumentsHaveNames);
        assert_eq!(of("sysdig-default"), Certainty::IfArgumentsHaveNames);
        assert_eq!(of("sysdig-container"), Certainty::IfArgumentsHaveNames);
        assert_eq!(of("lidds-2019"), Certainty::IfArgumentsHaveNames);
        assert_eq!(of("lidds-2021"), Certainty::IfArgumentsHaveNames);
        assert_eq!(certainty_of_name("%evt.type %proc.name"), Certainty::Certain);
        assert_eq!(certainty_of_name("%proc.name %evt.type"), Certainty::Certain);
        assert_eq!(certainty_of_name("%proc.name %evt.time.iso8601 %evt.type %fd.name"), Certainty::Certain);
    }

    #[test]
    fn formats_that_a_process_name_could_abuse_are_refused() {
        for format in [
            "%evt.type %proc.name %evt.args",
            "%proc.name %evt.type %evt.args",
            "%proc.name %thread.tid %evt.dir %evt.type %proc.cmdline",
            "%evt.type %proc.name %proc.pname %evt.args",
            "%proc.name %container.id %evt.dir %evt.type %evt.args",
        ] {
            let error = Format::parse(format).unwrap_err().to_string();
            assert!(error.contains("%proc.") && error.contains("before"), "{format}: {error}");
        }
    }
}
