//! ADFA-LD (G. Creech and J. Hu, 2013): its own folders, one trace a file; and three files with one trace a line.

use std::path::{Path, PathBuf};

use rastro_analyzer::evaluation::Part;

use super::{Form, Labelled, Layout, Unit, kind_of_folder, recordings_below};

/// `Training_Data_Master/*.txt`, `Validation_Data_Master/*.txt`, `Attack_Data_Master/<kind>_<number>/*.txt`; also below a folder `ADFA-LD`,
/// as the archive has it.
pub(super) fn folders(folder: &Path) -> anyhow::Result<Option<Layout>> {
    let Some(root) = [folder.to_owned(), folder.join("ADFA-LD")]
        .into_iter()
        .find(|root| root.join("Training_Data_Master").is_dir())
    else {
        return Ok(None);
    };
    let mut files = Vec::new();
    for (name, part) in [
        ("Training_Data_Master", Part::Train),
        ("Validation_Data_Master", Part::Normal),
        ("Attack_Data_Master", Part::Attack),
    ] {
        let below = root.join(name);
        if !below.is_dir() {
            continue;
        }
        for path in recordings_below(&below)? {
            let recording = path.parent().filter(|parent| *parent != below).and_then(Path::file_name);
            let kind = recording.map(|name| kind_of_folder(&name.to_string_lossy()));
            files.push(Labelled {
                kind: kind.filter(|_| part == Part::Attack),
                form: Form::OneTrace,
                ..Labelled::new(path, part)
            });
        }
    }
    Ok(Some(Layout { what: "ADFA-LD in its own folders".to_owned(), unit: Unit::Trace, files }))
}

/// `training.txt`, `validation.txt` and `attack.txt` (or `.txt.gz`), one trace a line, labels of the attacks beside.
pub(super) fn lines(folder: &Path) -> Option<Layout> {
    let file = |name: &str| -> Option<PathBuf> {
        ["txt", "txt.gz"]
            .map(|ending| folder.join(format!("{name}.{ending}")))
            .into_iter()
            .find(|path| path.is_file())
    };
    let (Some(train), Some(normal), Some(attack)) = (file("training"), file("validation"), file("attack"))
    else {
        return None;
    };
    let files = vec![
        Labelled::new(train, Part::Train),
        Labelled::new(normal, Part::Normal),
        Labelled::new(attack, Part::Attack),
    ];
    Some(Layout { what: "labelled traces, one a line".to_owned(), unit: Unit::Trace, files })
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{folder, named},
        *,
    };

    #[test]
    fn its_own_folders_tell_part_and_kind() {
        for below in ["", "ADFA-LD/"] {
            let made = folder(&[
                (&format!("{below}Training_Data_Master/UTD-0001.txt"), "6 6 63 \n"),
                (&format!("{below}Validation_Data_Master/UVD-0001.txt"), "6 6 63 \n"),
                (&format!("{below}Attack_Data_Master/Adduser_1/UAD-1.txt"), "11 4\n"),
                (&format!("{below}Attack_Data_Master/Hydra_FTP_10/UAD-2.txt"), "11 4\n"),
            ]);
            let layout = folders(made.path()).unwrap().unwrap();
            let found: Vec<_> =
                named(&layout, made.path()).into_iter().map(|(_, part, kind)| (part, kind)).collect();
            assert_eq!(
                found,
                [
                    (Part::Train, None),
                    (Part::Normal, None),
                    (Part::Attack, Some("Adduser".to_owned())),
                    (Part::Attack, Some("Hydra_FTP".to_owned())),
                ]
            );
            assert!(layout.files.iter().all(|file| file.form == Form::OneTrace));
        }
    }

    #[test]
    fn three_files_of_lines_are_found_packed_or_not() {
        let made = folder(&[("training.txt.gz", ""), ("validation.txt", ""), ("attack.txt", "")]);
        let layout = super::super::detect(made.path()).unwrap();
        assert_eq!(
            layout.files.iter().map(|file| file.part).collect::<Vec<_>>(),
            [Part::Train, Part::Normal, Part::Attack]
        );
        assert_eq!(lines(folder(&[("training.txt", "")]).path()), None);
    }
}
