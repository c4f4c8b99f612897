//! What is lost between lines that arrive, until the next chunk tells of it.

use rastro_model::Gap;

use super::Stream;

impl Stream {
    /// Gives a gap to the tail that now has `index`, or keeps it if there is none.
    pub(crate) fn pass_gap_on(&mut self, index: usize, gap: Option<Gap>) {
        let Some(gap) = gap else { return };
        match self.tails.get_mut(index) {
            Some(next) => {
                let own = next.gap.take();
                next.gap = Some(gap);
                if let Some(own) = own {
                    add_gap(&mut next.gap, &own);
                }
            }
            None => add_gap(&mut self.untold_gap, &gap),
        }
    }

    /// Something was lost behind the last file.
    pub(crate) fn lose(&mut self, gap: Gap) {
        add_gap(&mut self.untold_gap, &gap);
        self.new_gaps.push(gap);
    }
}

/// Adds what was lost later to what was lost before it. The reason of the larger part is told.
pub(crate) fn add_gap(sum: &mut Option<Gap>, gap: &Gap) {
    *sum = Some(match sum.take() {
        None => gap.clone(),
        Some(before) => Gap {
            bytes: before.bytes + gap.bytes,
            lines: before.lines.zip(gap.lines).map(|(before, lines)| before + lines),
            reason: if gap.bytes > before.bytes { gap.reason } else { before.reason },
        },
    });
}
