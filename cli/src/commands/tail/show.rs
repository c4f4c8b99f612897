//! Calls as lines for a terminal, or as JSON.

use std::{fmt::Write, io::IsTerminal};

use jiff::Timestamp;
use owo_colors::OwoColorize;
use rastro_model::errno;
use serde_json::json;

use super::{decode::Call, rarity::Rarity};
use crate::output::{self, text};

/// Where calls are shown.
#[derive(Debug)]
pub(super) struct Screen {
    json: bool,
    colours: bool,
    /// Columns of the terminal; lines are not cut where there is none.
    width: Option<usize>,
}

impl Screen {
    /// Standard output as it is.
    pub(super) fn new(json: bool) -> Self {
        let width = std::io::stdout()
            .is_terminal()
            .then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok())
            .flatten()
            .map(|size| usize::from(size.ws_col))
            .filter(|&width| width > 0);
        Self { json, colours: output::colours(), width }
    }

    /// A call as one line.
    pub(super) fn call(&self, call: &Call, rarity: Option<Rarity>) -> anyhow::Result<String> {
        if self.json {
            let error = call.result.and_then(errno::of_result);
            return Ok(serde_json::to_string(&json!({
                "time": call.time_ns.map(text::rfc3339), "container": call.container, "process": call.process_name,
                "pid": call.process, "thread": call.thread, "name": call.name, "category": call.category,
                "latency_ns": call.latency_ns, "result": call.result, "error": error, "arguments": call.arguments,
                "rarity": rarity.map(Rarity::name),
            }))?);
        }
        let line = self.cut(plain(call));
        Ok(match rarity {
            Some(Rarity::NeverSeen) if self.colours => line.red().bold().to_string(),
            Some(Rarity::Rare) if self.colours => line.yellow().to_string(),
            _ => line,
        })
    }

    /// A line that is no event; JSON has calls alone.
    pub(super) fn no_event(&self, reason: &str, line: &[u8]) -> Option<String> {
        if self.json {
            return None;
        }
        let line = self.cut(format!(
            "no event ({}): {}",
            text::printable(reason),
            printable(&String::from_utf8_lossy(line))
        ));
        Some(if self.colours { line.dimmed().to_string() } else { line })
    }

    fn cut(&self, line: String) -> String {
        match self.width {
            Some(width) if line.chars().count() > width => {
                line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
            }
            _ => line,
        }
    }
}

fn plain(call: &Call) -> String {
    let time = call.time_ns.and_then(|ns| Timestamp::from_nanosecond(i128::from(ns)).ok());
    let time = time.map_or_else(|| "-".to_owned(), |time| time.strftime("%H:%M:%S.%6f").to_string());
    let who = match (&call.process_name, call.thread.or(call.process)) {
        (Some(name), Some(id)) => format!("{name}/{id}"),
        (Some(name), None) => name.clone(),
        (None, Some(id)) => id.to_string(),
        (None, None) => "-".to_owned(),
    };
    let mut line = format!(
        "{time:<15} {:<12} {:<20} {:<16} ",
        printable(&call.container),
        printable(&who),
        printable(&call.name)
    );
    if let Some(result) = call.result {
        let error = errno::of_result(result).map(|name| format!(" {name}")).unwrap_or_default();
        let result = format!("{result}{error}");
        // A line that cannot be written to a string does not exist.
        let _ = write!(line, "{result:<14} ");
    } else {
        let _ = write!(line, "{:<14} ", "");
    }
    line.push_str(printable(&call.arguments).trim());
    line.truncate(line.trim_end().len());
    line
}

/// Text of a container, harmless on a terminal: besides control characters, those that change the direction of writing go.
fn printable(container_text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}');
    text::printable(container_text).chars().map(|c| if turns(c) { '.' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            time_ns: Some(1_648_750_397_231_143_686),
            container: "web\x1b[2Jshop".to_owned(),
            process_name: Some("sh\r\n\u{202e}x".to_owned()),
            process: Some(6),
            thread: Some(7),
            name: "connect".to_owned(),
            category: "net",
            latency_ns: Some(12),
            result: Some(-111),
            arguments: " addr=\x07\u{9b}31m1.2.3.4 ".to_owned(),
        }
    }

    #[test]
    fn a_line_says_who_did_what_with_which_result() {
        let screen = Screen { json: false, colours: false, width: None };
        assert_eq!(
            screen.call(&call(), Some(Rarity::NeverSeen)).unwrap(),
            "18:13:17.231143 web.[2Jshop  sh...x/7             connect          -111 ECONNREFUSED addr=..31m1.2.3.4"
        );
    }

    #[test]
    fn nothing_that_a_container_says_reaches_the_terminal_raw() {
        let screen = Screen { json: false, colours: true, width: Some(60) };
        let line = screen.call(&call(), Some(Rarity::NeverSeen)).unwrap();
        let ours = line
            .replace("\u{1b}[31m", "")
            .replace("\u{1b}[1m", "")
            .replace("\u{1b}[39m", "")
            .replace("\u{1b}[0m", "");
        assert!(!ours.chars().any(char::is_control), "{line:?}");
        assert_eq!(ours.chars().count(), 60);
        let no_event = screen.no_event("field 1", b"\x1b]0;title\x07\xff").unwrap();
        assert_eq!(no_event.matches('\u{1b}').count(), 2, "{no_event:?}");
        let json = Screen { json: true, colours: false, width: None }.call(&call(), None).unwrap();
        assert!(!json.chars().any(|c| c < ' '), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["error"], "ECONNREFUSED");
    }
}
