//! Progress bars on long work; quiet where standard error is not a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that counts bytes.
pub(crate) fn bytes(total: u64, what: &'static str) -> ProgressBar {
    bar(total, what, "{msg:<12} {bar:30} {percent:>3} %  {bytes_per_sec}  {eta} left")
}

/// A bar that counts things.
pub(crate) fn items(total: u64, what: &'static str) -> ProgressBar {
    bar(total, what, "{msg:<12} {bar:30} {human_pos}/{human_len}  {eta} left")
}

fn bar(total: u64, what: &'static str, template: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), target).with_style(style).with_message(what)
}
