//! Who we are to the server: an API key, or user and password.
//!
//! Elasticsearch prints an API key in two forms when it makes one: `id` and `api_key`, and both in `encoded`. Either is taken; what is
//! neither is refused here, where the file can be named, without a word of it being printed.

use std::path::Path;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use elasticsearch::auth::Credentials;

use super::config::ElasticConfig;
use crate::StoreError;

/// Keys are copied with and without their padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What goes with every request; nothing, if nothing is configured.
pub(super) fn credentials(config: &ElasticConfig) -> Result<Option<Credentials>, StoreError> {
    let api_key = match (&config.api_key, &config.api_key_file) {
        (Some(key), _) => Some((key.reveal().to_owned(), "the API key".to_owned())),
        (None, Some(path)) => {
            let place = format!("`store.api_key_file` = `{}`", path.display());
            Some((from_file(path, "store.api_key_file")?, place))
        }
        (None, None) => None,
    };
    if let Some((key, place)) = api_key {
        return encoded(key.trim()).map(|key| Some(Credentials::EncodedApiKey(key))).ok_or_else(|| {
            refused(format!(
                "{place} has neither form of an API key: give what Elasticsearch printed as `encoded` when it made the key, or \
                 `id:api_key`, and nothing else"
            ))
        });
    }
    let password = match (&config.password, &config.password_file) {
        (Some(password), _) => Some(password.reveal().to_owned()),
        (None, Some(path)) => Some(from_file(path, "store.password_file")?),
        (None, None) => None,
    };
    Ok(password.map(|password| Credentials::Basic(config.username.clone(), password)))
}

/// An API key as it is sent, from either form; `None` if it is neither.
fn encoded(key: &str) -> Option<String> {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte))
    };
    let is_pair = |text: &str| text.split_once(':').is_some_and(|(id, key)| is_part(id) && is_part(key));
    if is_pair(key) {
        return Some(STANDARD.encode(key));
    }
    let plain = String::from_utf8(LENIENT.decode(key).ok()?).ok()?;
    is_pair(&plain).then(|| STANDARD.encode(plain))
}

fn from_file(path: &Path, key: &str) -> Result<String, StoreError> {
    std::fs::read_to_string(path)
        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        .map_err(|error| refused(format!("`{key}` = `{}` cannot be read: {error}", path.display())))
}

fn refused(message: String) -> StoreError {
    StoreError::Refused { server: "on Elasticsearch".to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elastic::Secret;

    #[test]
    fn both_forms_of_an_api_key_are_sent_alike() {
        let sent = STANDARD.encode("VuaCfGcBCdbkQm:ui2lp2axTNmsyakw9tvNnw");
        for form in ["VuaCfGcBCdbkQm:ui2lp2axTNmsyakw9tvNnw", &sent, sent.trim_end_matches('=')] {
            assert_eq!(encoded(form).as_deref(), Some(sent.as_str()), "{form}");
        }
    }

    #[test]
    fn what_is_no_api_key_is_refused_without_being_printed() {
        let json = r#"{"id":"a","api_key":"s3cret"}"#;
        let two_lines = "YTpz\nM2NyZXQ=";
        for wrong in
            ["", ":", "id:", ":s3cret", "s3cret", "czNjcmV0", "id: s3cret", two_lines, "a:s3\ncret", json]
        {
            let config = ElasticConfig { api_key: Some(Secret::new(wrong)), ..ElasticConfig::default() };
            let error = credentials(&config).unwrap_err();
            let text = error.to_string();
            assert!(!error.is_transient() && text.contains("`id:api_key`"), "{text}");
            assert!(!text.contains("cret") && !text.contains("czNj"), "{text}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_key() {
        let config =
            ElasticConfig { password_file: Some("/nowhere/at all".into()), ..ElasticConfig::default() };
        let text = credentials(&config).unwrap_err().to_string();
        assert!(text.contains("store.password_file") && text.contains("/nowhere/at all"), "{text}");
    }
}
