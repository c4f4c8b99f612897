//! LID-DS: the folders of a scenario of 2021 (M. Grimmer et al., "Dataset Report: LID-DS 2021", CRITIS 2022), and the list of one of 2019.

use std::path::Path;

use anyhow::{Context as _, bail};
use rastro_analyzer::evaluation::Part;

use super::{Labelled, Layout, Since, Unit, recordings_below};

/// Normal recordings of 2019 that its authors train on, and that they set thresholds on; the rest they test with.
const TRAINING_2019: usize = 200;
const VALIDATION_2019: usize = 50;

/// `training/`, `validation/`, `test/normal/` and `test/normal_and_attack/`, each with one file a recording. Kind and time of the attack are in
/// the recordings.
pub(super) fn split(folder: &Path) -> anyhow::Result<Option<Layout>> {
    let folders = [
        ("training", Part::Train),
        ("validation", Part::Calibrate),
        ("test/normal", Part::Normal),
        ("test/normal_and_attack", Part::Attack),
    ];
    let training = folder.join("training");
    if !training.is_dir() {
        return Ok(None);
    }
    // What was exported without labels is a scenario with nothing to test on; a mere folder of that name is none.
    let has_archives = || {
        Ok::<_, anyhow::Error>(
            recordings_below(&training)?
                .iter()
                .any(|path| path.extension().is_some_and(|ending| ending == "zip")),
        )
    };
    if !folder.join("test").is_dir() && !has_archives()? {
        return Ok(None);
    }
    let mut files = Vec::new();
    for (name, part) in folders {
        let below = folder.join(name);
        if below.is_dir() {
            files.extend(recordings_below(&below)?.into_iter().map(|path| Labelled::new(path, part)));
        }
    }
    Ok(Some(Layout {
        what: "a scenario as LID-DS 2021 lays it out".to_owned(),
        unit: Unit::Recording,
        files,
    }))
}

/// `runs.csv` with one line a recording, which lies beside it.
pub(super) fn runs(folder: &Path) -> anyhow::Result<Option<Layout>> {
    let list = folder.join("runs.csv");
    if !list.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&list).with_context(|| format!("cannot read `{}`", list.display()))?;
    let (mut normal, mut attacks) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()).skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let fault = || {
            format!(
                "`{}` line {number}: expected image_name, scenario_name, is_executing_exploit, warmup_time, recording_time, exploit_start_time",
                list.display()
            )
        };
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [_, name, is_attack, _, _, start] = fields[..] else { bail!(fault()) };
        let is_attack = match is_attack {
            "True" => true,
            "False" => false,
            _ => bail!(fault()),
        };
        let start: f64 = start.parse().ok().filter(|start: &f64| start.is_finite()).with_context(fault)?;
        let Some(path) = recording(folder, name) else {
            bail!("`{}` line {number}: there is no recording `{name}` beside it", list.display());
        };
        let side = if is_attack { &mut attacks } else { &mut normal };
        let part = if is_attack { Part::Attack } else { Part::Normal };
        let since = (is_attack && start >= 0.0).then_some(Since::Seconds(start));
        side.push(Labelled { since, ..Labelled::new(path, part) });
    }
    let (train, calibrate, rule) = if normal.len() > TRAINING_2019 + VALIDATION_2019 {
        (
            TRAINING_2019,
            VALIDATION_2019,
            "the first 200 normal ones train and the next 50 set thresholds, as its authors do",
        )
    } else {
        (
            normal.len().div_ceil(2),
            normal.len() / 4,
            "of the normal ones the first half trains and the next quarter sets thresholds",
        )
    };
    for (place, recording) in normal.iter_mut().enumerate() {
        recording.part = match place {
            place if place < train => Part::Train,
            place if place < train + calibrate => Part::Calibrate,
            _ => Part::Normal,
        };
    }
    normal.append(&mut attacks);
    Ok(Some(Layout {
        what: format!("a scenario as LID-DS 2019 lists it ({rule})"),
        unit: Unit::Recording,
        files: normal,
    }))
}

fn recording(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    // A name out of a file must not lead elsewhere.
    let is_plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let candidates = ["txt", "txt.gz"].map(|ending| folder.join(format!("{name}.{ending}")));
    candidates.into_iter().find(|path| is_plain && path.is_file())
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{folder, named},
        *,
    };

    #[test]
    fn a_scenario_of_2021_is_split_by_its_folders() {
        let made = folder(&[
            ("training/a.zip", ""),
            ("validation/b.zip", ""),
            ("test/normal/c.zip", ""),
            ("test/normal_and_attack/d.zip", ""),
            ("test/normal_and_attack/d.json", ""),
        ]);
        let layout = split(made.path()).unwrap().unwrap();
        assert_eq!(layout.unit, Unit::Recording);
        let parts: Vec<_> = named(&layout, made.path()).into_iter().map(|(_, part, _)| part).collect();
        assert_eq!(parts, [Part::Train, Part::Calibrate, Part::Normal, Part::Attack]);
        assert!(layout.found(made.path()).contains("LID-DS 2021"));
    }

    #[test]
    fn a_scenario_without_attacks_is_one_all_the_same() {
        let made = folder(&[("training/a.zip", "")]);
        let layout = split(made.path()).unwrap().unwrap();
        assert_eq!(layout.files.iter().map(|file| file.part).collect::<Vec<_>>(), [Part::Train]);
        let other = folder(&[("training/a.txt", "")]);
        assert_eq!(split(other.path()).unwrap(), None);
    }

    #[test]
    fn a_list_of_2019_tells_attacks_and_their_begin() {
        let mut list = "image_name, scenario_name, is_executing_exploit, warmup_time, recording_time, exploit_start_time\n".to_owned();
        for name in ["n1", "n2", "n3", "n4"] {
            list.push_str(&["shop, ", name, ", False, 10, 30, -1\n"].concat());
        }
        list += "shop, x1, True, 10, 30, 14\n";
        let files = ["n1.txt", "n2.txt", "n3.txt.gz", "n4.txt", "x1.txt"].map(|name| (name, ""));
        let made = folder(&[&files[..], &[("runs.csv", list.as_str())]].concat());
        let layout = runs(made.path()).unwrap().unwrap();
        let parts: Vec<_> = layout.files.iter().map(|file| file.part).collect();
        assert_eq!(parts, [Part::Train, Part::Train, Part::Calibrate, Part::Normal, Part::Attack]);
        assert_eq!(layout.files[4].since, Some(Since::Seconds(14.0)));

        let error = |line: &str| {
            let made = folder(&[("runs.csv", &format!("head\n{line}\n"))]);
            runs(made.path()).unwrap_err().to_string()
        };
        assert!(error("shop, ../x1, True, 10, 30, 14").contains("line 2: there is no recording `../x1`"));
        assert!(error("shop, x1, maybe, 10, 30, 14").contains("expected image_name"));
        assert!(error("shop, x1").contains("expected image_name"));
    }
}
