//! The one table of detectors. Command line help, configuration checks and the API's list of algorithms are made from it.
//!
//! To add a detector: write its file, add its line to [`DETECTORS`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    bosc::Bosc,
    detector::Detector,
    fitted::{Fitted, Fitting},
    stide::Stide,
};

/// What a parameter's value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// A whole number.
    Whole,
    /// Any number.
    Real,
}

/// What can be said of a detector without running it.
#[derive(Debug, Serialize)]
pub struct DetectorInfo {
    /// Name in specifications.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// What it does and where it comes from.
    pub description: &'static str,
    /// Its parameters. Where it has windows, the first says how long they are.
    pub parameters: &'static [ParameterInfo],
    /// How it is made.
    #[serde(skip)]
    pub(crate) maker: Maker,
}

/// How a detector is made: empty, or from bytes.
#[derive(Debug)]
pub(crate) enum Maker {
    /// By functions of its own.
    Own {
        /// How many consecutive calls of a thread one judgement looks at; 0 where frames are judged as a whole.
        window: fn(&ModelSpec) -> u32,
        /// Makes one that knows nothing.
        create: fn(&ModelSpec) -> Box<dyn Detector>,
        /// Reads [`Detector::encode`]'s bytes; symbols must be less than the number given.
        decode: fn(&ModelSpec, &[u8], usize) -> DecodedDetector,
    },
    /// By fitting models to a sample of frames, which are judged as a whole.
    Fitted(&'static Fitting),
}

/// A detector read from bytes, or what is wrong with them.
pub(crate) type DecodedDetector = Result<Box<dyn Detector>, String>;

/// A parameter of a detector.
#[derive(Debug, Serialize)]
pub struct ParameterInfo {
    /// Key in specifications.
    pub key: &'static str,
    /// Other keys that mean the same.
    pub aliases: &'static [&'static str],
    /// What its value must be.
    pub kind: ParameterKind,
    /// Value where none is given.
    #[serde(serialize_with = "without_fraction")]
    pub default: f64,
    /// Lowest value.
    #[serde(serialize_with = "without_fraction")]
    pub min: f64,
    /// Highest value.
    #[serde(serialize_with = "without_fraction")]
    pub max: f64,
    /// What it means.
    pub description: &'static str,
}

/// Every detector.
pub static DETECTORS: &[DetectorInfo] = &[
    crate::stide::INFO,
    crate::tstide::INFO,
    crate::bosc::INFO,
    crate::context::MARKOV,
    crate::context::CONTEXT,
    crate::graph::INFO,
    crate::ensemble::INFO,
    crate::vector::one_class_svm::INFO,
    crate::vector::nearest_frames::SETS,
    crate::vector::nearest_frames::FREQUENCIES,
    crate::vector::nearest_frames::TF_IDF,
    crate::vector::principal_components::INFO,
    crate::vector::gaussian_mixture::INFO,
    crate::vector::cluster_centres::INFO,
    crate::vector::density_clusters::INFO,
    crate::vector::isolation_forest::INFO,
    crate::behaviour::ARGUMENTS,
    crate::behaviour::TIMING,
    #[cfg(feature = "neural")]
    crate::neural::INFO,
];

const _: () = assert!(
    Stide::MAX_WINDOW <= crate::sequences::MAX_WINDOW && Bosc::MAX_WINDOW <= crate::sequences::MAX_WINDOW
);

/// A detector with its parameters: one model of a profile. Written `stide:n=6`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ModelSpec {
    info: &'static DetectorInfo,
    /// One value a parameter, in the order of the table.
    values: Vec<f64>,
}

/// A specification that names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No such detector.
    #[error("`{name}` is no detector; there are {known}")]
    Detector {
        /// What was given.
        name: String,
        /// Names of all detectors.
        known: String,
    },
    /// No such parameter.
    #[error("detector `{detector}` has no parameter `{key}`; it has {known}")]
    Key {
        /// The detector.
        detector: &'static str,
        /// What was given.
        key: String,
        /// Keys of all its parameters.
        known: String,
    },
    /// A value outside its range.
    #[error("detector `{detector}`, parameter `{key}`: `{value}` is not {expected}")]
    Value {
        /// The detector.
        detector: &'static str,
        /// The parameter.
        key: &'static str,
        /// What was given.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// A parameter given twice.
    #[error("detector `{detector}`, parameter `{key}` is given twice in `{text}`")]
    Twice {
        /// The detector.
        detector: &'static str,
        /// The parameter.
        key: &'static str,
        /// The specification.
        text: String,
    },
}

impl ParameterInfo {
    /// A parameter that is a whole number.
    pub(crate) const fn whole(key: &'static str, default: u32, (min, max): (u32, u32)) -> Self {
        Self {
            key,
            aliases: &[],
            kind: ParameterKind::Whole,
            default: default as f64,
            min: min as f64,
            max: max as f64,
            description: "",
        }
    }

    /// A parameter that is any number.
    pub(crate) const fn real(key: &'static str, default: f64, (min, max): (f64, f64)) -> Self {
        Self { key, aliases: &[], kind: ParameterKind::Real, default, min, max, description: "" }
    }

    /// The same with other keys that mean it.
    pub(crate) const fn or(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// The same with what it means.
    pub(crate) const fn about(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    fn read(&self, value: &str) -> Option<f64> {
        let number: f64 = match self.kind {
            ParameterKind::Whole => f64::from(value.parse::<u32>().ok()?),
            ParameterKind::Real => value.parse().ok()?,
        };
        (self.min..=self.max).contains(&number).then_some(number)
    }

    /// What a value must be, for people.
    pub fn expected(&self) -> String {
        let kind = match self.kind {
            ParameterKind::Whole => "whole number",
            ParameterKind::Real => "number",
        };
        format!("a {kind} from {} to {}", self.min, self.max)
    }
}

/// `6` and not `6.0`.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn without_fraction<S: serde::Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if number.fract() == 0.0 {
        serializer.serialize_i64(*number as i64)
    } else {
        serializer.serialize_f64(*number)
    }
}

impl ModelSpec {
    /// Reads `NAME[:KEY=VALUE,…]`, as in `stide`, `stide:n=6`, `bosc:window=10`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let (name, parameters) = text.split_once(':').unwrap_or((text, ""));
        let name = name.trim();
        let info = DETECTORS.iter().find(|info| info.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            SpecError::Detector {
                name: name.to_owned(),
                known: listed(DETECTORS.iter().map(|info| info.name)),
            }
        })?;
        let mut values: Vec<Option<f64>> = vec![None; info.parameters.len()];
        for pair in parameters.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (key.trim(), value.trim());
            let place = info
                .parameters
                .iter()
                .position(|parameter| parameter.key == key || parameter.aliases.contains(&key))
                .ok_or_else(|| SpecError::Key {
                    detector: info.name,
                    key: key.to_owned(),
                    known: listed(info.parameters.iter().map(|parameter| parameter.key)),
                })?;
            let parameter = &info.parameters[place];
            if values[place].is_some() {
                return Err(SpecError::Twice {
                    detector: info.name,
                    key: parameter.key,
                    text: text.to_owned(),
                });
            }
            values[place] = Some(parameter.read(value).ok_or_else(|| SpecError::Value {
                detector: info.name,
                key: parameter.key,
                value: value.to_owned(),
                expected: parameter.expected(),
            })?);
        }
        let values = values
            .iter()
            .zip(info.parameters)
            .map(|(value, parameter)| value.unwrap_or(parameter.default))
            .collect();
        Ok(Self { info, values })
    }

    /// The detector's line of the table.
    pub fn info(&self) -> &'static DetectorInfo {
        self.info
    }

    /// Name of the detector.
    pub fn detector(&self) -> &'static str {
        self.info.name
    }

    /// How many consecutive calls of a thread one judgement looks at; 0 where frames are judged as a whole.
    pub fn window(&self) -> u32 {
        match self.info.maker {
            Maker::Own { window, .. } => window(self),
            Maker::Fitted(_) => 0,
        }
    }

    /// Value of the parameter with this key; 0 if there is none.
    pub fn value(&self, key: &str) -> f64 {
        let place = self.info.parameters.iter().position(|parameter| parameter.key == key);
        place.and_then(|place| self.values.get(place)).copied().unwrap_or_default()
    }

    /// Value of a whole number's parameter.
    pub fn whole(&self, key: &str) -> u32 {
        self.value(key) as u32
    }

    /// The same model with another window size; itself, if it has no windows.
    pub fn with_window(&self, window: u32) -> Result<Self, SpecError> {
        let is_window = self.values.first().is_some_and(|&value| value as u32 == self.window());
        if !is_window || self.window() == 0 {
            return Ok(self.clone());
        }
        Self::parse(&format!("{}:{}={window}", self.info.name, self.info.parameters[0].key))
    }

    /// A detector of this specification that knows nothing.
    pub fn create(&self) -> Box<dyn Detector> {
        match self.info.maker {
            Maker::Own { create, .. } => create(self),
            Maker::Fitted(fitting) => Box::new(Fitted::new(self, fitting)),
        }
    }

    /// Reads [`Detector::encode`]'s bytes; symbols must be less than `alphabet`. The error says what is wrong with them.
    pub(crate) fn decode(&self, bytes: &[u8], alphabet: usize) -> DecodedDetector {
        match self.info.maker {
            Maker::Own { decode, .. } => decode(self, bytes, alphabet),
            Maker::Fitted(fitting) => Ok(Box::new(Fitted::decode(self, fitting, bytes, alphabet)?)),
        }
    }
}

/// The models that are trained where none are named: two orders of sequence and of bag, so that a short and a long memory look at
/// every thread.
pub(crate) fn default_models() -> Vec<ModelSpec> {
    ["stide:n=6", "stide:n=10", "bosc:w=6", "bosc:w=10"]
        .iter()
        .filter_map(|text| ModelSpec::parse(text).ok())
        .collect()
}

fn listed<'name>(names: impl Iterator<Item = &'name str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info.name)?;
        for (place, (parameter, value)) in self.info.parameters.iter().zip(&self.values).enumerate() {
            if place == 0 {
                write!(f, ":{}={value}", parameter.key)?;
            } else if value.to_bits() != parameter.default.to_bits() {
                write!(f, ",{}={value}", parameter.key)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelSpec({self})")
    }
}

impl PartialEq for ModelSpec {
    fn eq(&self, other: &Self) -> bool {
        let bits = |spec: &Self| spec.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        self.info.name == other.info.name && bits(self) == bits(other)
    }
}

impl Eq for ModelSpec {}

impl FromStr for ModelSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ModelSpec {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        Self::parse(&text)
    }
}

impl From<ModelSpec> for String {
    fn from(spec: ModelSpec) -> Self {
        spec.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_survives_printing() {
        for (text, printed) in [
            ("stide", "stide:n=6"),
            ("stide:n=10", "stide:n=10"),
            ("stide:window=3", "stide:n=3"),
            ("BoSC", "bosc:w=10"),
            ("bosc: w = 15", "bosc:w=15"),
            ("bosc:window=6", "bosc:w=6"),
        ] {
            let spec = ModelSpec::parse(text).unwrap();
            assert_eq!(spec.to_string(), printed);
            assert_eq!(ModelSpec::parse(printed).unwrap(), spec);
        }
    }

    #[test]
    fn an_error_names_key_and_range() {
        let message = |text: &str| ModelSpec::parse(text).unwrap_err().to_string();
        assert!(
            message("stilde").starts_with("`stilde` is no detector; there are `stide`, `tstide`, `bosc`")
        );
        assert_eq!(message("stide:m=6"), "detector `stide` has no parameter `m`; it has `n`");
        for value in ["17", "1", "-6", "6.0", "", "99999999999"] {
            assert_eq!(
                message(&format!("stide:n={value}")),
                format!("detector `stide`, parameter `n`: `{value}` is not a whole number from 2 to 16")
            );
        }
        assert_eq!(
            message("stide:n=6,window=7"),
            "detector `stide`, parameter `n` is given twice in `stide:n=6,window=7`"
        );
    }

    #[test]
    fn every_detector_has_a_default_that_lies_in_its_range() {
        for info in DETECTORS {
            for parameter in info.parameters {
                assert!((parameter.min..=parameter.max).contains(&parameter.default), "{}", info.name);
            }
            let spec = ModelSpec::parse(info.name).unwrap();
            assert_eq!(spec.create().spec(), &spec);
        }
        assert_eq!(default_models().len(), 4);
    }
}
