//! `rastro profile show`: what a profile knows.

use rastro_analyzer::Profile;
use rastro_model::ProfileRef;
use serde::Deserialize;
use serde_json::Value;

use super::{Context, ProfileReference};
use crate::output::{self, text};

/// Calls that are listed; `--json` has all of them.
const LISTED_CALLS: usize = 15;

/// Sources that are listed.
const LISTED_SOURCES: usize = 10;

pub(super) async fn show(context: &Context, profile: &str, json: bool) -> anyhow::Result<()> {
    let store = context.store_to_read().await?;
    let (reference, profile) = ProfileReference::parse(profile)?.load(store.as_ref()).await?;
    let budget = context.config.analyzer.false_alarms_per_day;
    if json {
        let mut value = profile.to_json(budget);
        if let Value::Object(members) = &mut value {
            members.insert("version".to_owned(), reference.version.into());
        }
        return output::json(&value);
    }
    let view = serde_json::from_value(profile.to_json(budget))?;
    output::line(page(&reference, &profile, &view).trim_end())
}

/// A model as [`Profile::to_json`] tells of it.
#[derive(Debug, Deserialize)]
struct ModelView {
    model: String,
    windows: u64,
    distinct: u64,
    completeness: f64,
    held_out_frames: u64,
    calibration: String,
    note: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ProfileView {
    models: Vec<ModelView>,
    frames_per_container_per_day: Option<f64>,
}

fn page(reference: &ProfileRef, profile: &Profile, view: &ProfileView) -> String {
    let training = profile.training();
    let mut lines = vec![
        format!("{}@{}", text::printable(&reference.name), reference.version),
        format!("  complete   {}", percent(profile.completeness())),
        format!(
            "  trained    {} calls in {} segments, {} to {} UTC",
            text::count(training.calls),
            text::count(training.segments),
            text::time(training.start_ns),
            text::time(training.end_ns),
        ),
    ];
    if training.lossy_segments > 0 {
        lines.push(format!(
            "  lossy      {} segments, before which calls were lost",
            text::count(training.lossy_segments)
        ));
    }
    lines.push(match view.frames_per_container_per_day {
        Some(frames) => {
            format!("  rate       {} frames a container a day", text::count(frames.round() as u64))
        }
        None => "  rate       unknown: the training data tells no times".to_owned(),
    });
    let mut models = output::table(["MODEL", "WINDOWS", "DISTINCT", "COMPLETE", "HELD OUT"]);
    for model in &view.models {
        models.add_row([
            model.model.clone(),
            text::count(model.windows),
            text::count(model.distinct),
            percent(model.completeness),
            format!("{} frames", text::count(model.held_out_frames)),
        ]);
    }
    lines.extend([String::new(), models.to_string(), String::new()]);
    lines.extend(
        view.models.iter().map(|model| format!("{}: {}", model.model, text::printable(&model.calibration))),
    );
    let noted = view.models.iter().filter_map(|model| Some((&model.model, model.note.as_ref()?)));
    lines.extend(noted.map(|(model, note)| format!("{model}: {}", text::printable(note))));
    let calls = profile.calls();
    let mut table = output::table(["CALL", "COUNT", "SHARE"]);
    for (name, count) in calls.iter().take(LISTED_CALLS) {
        let share = *count as f64 / training.calls.max(1) as f64;
        table.add_row([text::printable(name), text::count(*count), percent(share)]);
    }
    lines.extend([String::new(), table.to_string()]);
    if calls.len() > LISTED_CALLS {
        lines.push(format!("… and {} more calls; --json lists them all", calls.len() - LISTED_CALLS));
    }
    let mut sources = output::table(["LEARNED FROM", "CONTAINER", "IMAGE", "NODE", "CALLS"]);
    for source in profile.sources().iter().take(LISTED_SOURCES) {
        sources.add_row([
            text::printable(&source.index),
            text::printable(&source.container),
            text::printable(&source.image),
            text::printable(&source.node),
            text::count(source.calls),
        ]);
    }
    lines.extend([String::new(), sources.to_string()]);
    if profile.sources().len() > LISTED_SOURCES {
        lines.push(format!("… and {} more", profile.sources().len() - LISTED_SOURCES));
    }
    // Tables pad their cells; what is at the end of a line is of no use.
    let page = lines.join("\n");
    page.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A share with as many digits as tell it from 100 %: 99.97 %.
pub(super) fn percent(share: f64) -> String {
    let missing = 100.0 * (1.0 - share);
    // Rounding must never call a profile complete that is not.
    if missing > 0.0 && missing < 0.05 {
        format!("{:.3} %", (100_000.0 * share).floor() / 1000.0)
    } else {
        format!("{:.1} %", 100.0 * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::profile::sample;

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        assert_eq!(percent(1.0), "100.0 %");
        assert_eq!(percent(0.999_999_9), "99.999 %");
        assert_eq!(percent(0.999), "99.9 %");
        assert_eq!(percent(0.5), "50.0 %");
        assert_eq!(percent(0.0), "0.0 %");
    }

    #[test]
    fn a_page_tells_what_the_profile_knows() {
        let profile = sample::profile("shop:1.4\x1b[2J", &["read", "write", "poll"]);
        let reference = ProfileRef { name: profile.name.clone(), version: 2 };
        let mut view: ProfileView = serde_json::from_value(profile.to_json(1.0)).unwrap();
        for model in &mut view.models {
            // How the analyzer words its calibration is tested there.
            assert!(!std::mem::replace(&mut model.calibration, "calibrated".to_owned()).is_empty());
        }
        insta::assert_snapshot!(page(&reference, &profile, &view));
    }
}
